"""Convert images of all kinds to tensors that models read."""

from __future__ import annotations

import io
import os
from math import ceil, floor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.data.formats.jpeg_draft import DRAFT
from resemblance.data.formats.levels import UnknownRange, eight_bits
from resemblance.data.geometry import Preparation
from resemblance.data.images import Pixels, read_image
from resemblance.data.sources.source import Source
from resemblance.data.transforms import to_tensor

# Modes of PIL images that no file format here can save, and equivalent ones.
SAVED_AS = {"PA": "RGBA", "RGBa": "RGBA", "La": "LA", "RGBX": "RGB", "YCbCr": "RGB", "HSV": "RGB"}
ROUNDING = 1e-4  # how far a value may lie outside [0, 1]
LARGEST_SHOWN = 1200  # pixels of the longer side of a picture that is kept for showing


class ModelInput(NamedTuple):
    """An image as the model reads it, with what is known of the picture that it was made from.

    Args:
        tensor: (C, H, W) in [0, 1].
        name: the picture's name.
        preparation: how the picture was prepared.
        original: (H, W, 3) uint8, the picture before that, with at most 1200 pixels on its longer side; None if the
            tensor is the picture itself.
    """

    tensor: Tensor
    name: str
    preparation: Preparation
    original: Pixels | None = None


def as_tensor(image: Any, spec: ImageSpec, name: str | None = None, shown: bool = True) -> ModelInput:
    """Convert one image to the tensor that a model of ``spec`` reads.

    Args:
        image: a path, encoded bytes or an open file; a PIL image; a uint8 or uint16 array (H, W) or (H, W, C), for a
            model with a window also one of other whole numbers; a uint8 tensor (C, H, W); a float array (H, W) or
            (H, W, C), or a tensor (C, H, W) or (1, C, H, W), in [0, 1] at the model's size. What `as_tensor` has
            returned is returned unchanged.
        spec: size, channels and preparation; arrays of floats and tensors of floats are not prepared.
        name: the name in messages; by default the path, or "image".
        shown: whether the picture is needed, too; without it, large JPEGs need not be decoded in full.

    Returns:
        The tensor, the image's name, the mapping of places between the picture and the tensor, and the picture.

    Raises:
        UserError: for anything that is not an image of these kinds, and for values that cannot be pixels in [0, 1]:
            8-bit levels as floats, images that were already normalised, channels in the wrong place, an empty array.

    Example:
        >>> spec = ImageSpec(8, 8, 1, (0.5,), (0.5,))
        >>> tensor, name, preparation, original = as_tensor(np.full((16, 12), 255, np.uint8), spec)
        >>> tensor.shape, tensor.max().item(), name, preparation.original, original.shape
        (torch.Size([1, 8, 8]), 1.0, 'image', (16, 12), (16, 12, 3))
    """
    if isinstance(image, ModelInput):
        return image
    if isinstance(image, (str, os.PathLike)):
        name = name or os.fspath(image)
        path = Path(image)
        if path.is_dir():
            raise UserError(f"{name!r} is a folder, not an image; choose an image file in it")
        if not path.is_file():
            raise UserError(f"no such image: {name!r}")
        return _from_file(path, spec, name, shown)
    name = name or "image"
    if isinstance(image, Tensor):
        return _from_tensor(image, spec, name)
    if isinstance(image, Image.Image):
        # Through a file format, so that modes, palettes and rotation are handled in one place.
        return _prepared(_upright(image, name, spec), spec, name)
    if isinstance(image, np.ndarray):
        return _from_array(image, spec, name)
    if isinstance(image, bytes) or hasattr(image, "read"):
        return _from_file(image, spec, name, shown)
    raise UserError(
        f"{name}: a {type(image).__name__} is not an image; use a path, a PIL image, a uint8 array (H, W, C) "
        "or a tensor (C, H, W) in [0, 1]"
    )


def source_input(source: Source, index: int, spec: ImageSpec) -> ModelInput:
    """Return an image of a source as the model reads it, with the whole picture.

    Args:
        source: the images.
        index: the image.
        spec: size, channels and preparation.
    """
    whole = source.read(index)
    return _prepared(whole, spec, source.name(index), source.tensor(index, spec))


def levels(images: Tensor) -> Tensor:
    """Return images in [0, 1] of any shape as uint8 on the CPU.

    Example:
        >>> levels(torch.tensor([0.0, 0.5, 1.0])).tolist()
        [0, 128, 255]
    """
    return images.detach().float().clamp(0, 1).mul(255).round().byte().cpu()


def pixels(images: Tensor) -> Pixels:
    """Convert images (..., C, H, W) in [0, 1] to arrays (..., H, W, C) uint8.

    Example:
        >>> pixels(torch.tensor([[[0.0, 0.5, 1.0]]])).tolist()
        [[[0], [128], [255]]]
    """
    array: Pixels = levels(images).movedim(-3, -1).contiguous().numpy()
    return array


def as_picture(tensor: Tensor) -> Pixels:
    """Convert an image (C, H, W) in [0, 1] to a picture (H, W, 3) uint8.

    Example:
        >>> as_picture(torch.ones(1, 2, 2)).shape
        (2, 2, 3)
    """
    return pixels(tensor.expand(3, -1, -1))


def _from_file(file: Path | bytes | Any, spec: ImageSpec, name: str, shown: bool) -> ModelInput:
    read = _read(file, name, spec, spec)
    if DRAFT not in read.info:
        return _prepared(read, spec, name)
    tensor = to_tensor(read, spec)
    if shown:
        return _prepared(_read(file, name, spec), spec, name, tensor)
    return ModelInput(tensor, name, Preparation.of(spec, read.info[DRAFT].original))


def _read(
    file: Path | bytes | Any, name: str, spec: ImageSpec, draft_for: ImageSpec | None = None
) -> Image.Image:
    try:
        return read_image(file, name, spec.window, draft_for)
    except UnknownRange as error:
        raise error.for_a_model() from None


def _upright(image: Image.Image, name: str, spec: ImageSpec) -> Image.Image:
    if 0 in image.size:
        raise UserError(f"{name}: a picture of {image.width}x{image.height} pixels is empty")
    exif = _exif(image)
    if image.mode in ("L", "RGB") and not exif:
        return image
    buffer = io.BytesIO()
    try:
        converted = image.convert(SAVED_AS[image.mode]) if image.mode in SAVED_AS else image
        converted.save(buffer, "TIFF" if image.mode in ("CMYK", "F", "I") else "PNG", exif=exif)
    except (OSError, ValueError):
        raise UserError(f"{name}: images of mode {image.mode} cannot be read; convert it to RGB") from None
    return _read(buffer.getvalue(), name, spec)


def _exif(image: Image.Image) -> Image.Exif:
    """Return the EXIF data of a picture; none if it is damaged."""
    try:
        return image.getexif()
    except Exception:
        return Image.Exif()


def _prepared(image: Image.Image, spec: ImageSpec, name: str, tensor: Tensor | None = None) -> ModelInput:
    preparation = Preparation.of(spec, (image.height, image.width))
    original = None
    if not preparation.changes_nothing:
        # A model of grey images sees no colours, so none are shown.
        original = np.array(_shown(image.convert("L") if spec.channels == 1 else image).convert("RGB"))
    return ModelInput(to_tensor(image, spec) if tensor is None else tensor, name, preparation, original)


def _shown(image: Image.Image) -> Image.Image:
    """Scale a picture down to be shown, as `Image.thumbnail` does, but without a copy for it to change."""
    width, height = image.size
    if max(width, height) <= LARGEST_SHOWN:
        return image
    aspect = width / height
    if width > height:
        near = LARGEST_SHOWN / aspect
        rows = min((floor(near), ceil(near)), key=lambda n: abs(aspect - LARGEST_SHOWN / n) if n else 0)
        size = LARGEST_SHOWN, max(rows, 1)
    else:
        near = LARGEST_SHOWN * aspect
        columns = min((floor(near), ceil(near)), key=lambda n: abs(aspect - n / LARGEST_SHOWN))
        size = max(columns, 1), LARGEST_SHOWN
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def _from_array(array: np.ndarray[Any, Any], spec: ImageSpec, name: str) -> ModelInput:
    shape = array.shape
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (1, 3, 4)):
        hint = ""
        if array.ndim == 3 and shape[0] in (1, 3):
            hint = "; its channels come first, so use .transpose(1, 2, 0)"
        elif array.ndim == 4:
            hint = "; give a list of such arrays for several images"
        raise UserError(
            f"{name}: an array of shape {shape} is not an image; expected (H, W) or (H, W, 3){hint}"
        )
    if not array.size:
        raise UserError(f"{name}: a picture of {shape[1]}x{shape[0]} pixels is empty")
    if spec.window is not None and array.dtype.kind in "iu" and array.dtype != np.uint8:
        array = eight_bits(array, spec.window[1], spec.window[0])
    if array.dtype == np.uint16:
        # By the range of the type, as 16-bit files are, so that images of one set stay comparable.
        array = eight_bits(array, 65535)
    if array.dtype == np.uint8:
        squeezed = array[:, :, 0] if array.ndim == 3 and shape[2] == 1 else array
        return _prepared(_upright(Image.fromarray(np.ascontiguousarray(squeezed)), name, spec), spec, name)
    if not np.issubdtype(array.dtype, np.floating):
        levels = array.dtype.kind in "iu" and array.min() >= 0 and array.max() <= 255
        hint = "; use .astype(np.uint8)" if levels else ""
        raise UserError(
            f"{name}: an array of {array.dtype} is not an image; expected uint8, uint16, or floats in [0, 1]{hint}"
        )
    tensor = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    return _from_tensor(tensor[None] if array.ndim == 2 else tensor.permute(2, 0, 1), spec, name)


def _from_tensor(tensor: Tensor, spec: ImageSpec, name: str) -> ModelInput:
    shape = tuple(tensor.shape)
    if tensor.dim() == 4 and len(tensor) == 1:
        tensor = tensor[0]
    if tensor.dim() == 2 and spec.channels == 1:
        tensor = tensor[None]
    if tensor.dtype == torch.uint8 and tensor.dim() == 3 and len(tensor) in (1, 3):
        return _from_array(tensor.permute(1, 2, 0).cpu().numpy(), spec, name)
    expected = (spec.channels, *spec.size)
    if tuple(tensor.shape) != expected:
        raise UserError(
            f"{name}: the model reads images of shape {expected} in [0, 1], not {shape}"
            + _shape_hint(shape, tuple(tensor.shape), spec)
        )
    if not tensor.is_floating_point():
        kind = str(tensor.dtype).removeprefix("torch.")
        hint = "" if tensor.is_complex() else "; pixels from 0 to 255 are accepted as uint8"
        raise UserError(f"{name}: expected floats in [0, 1], not {kind}{hint}")
    values = tensor.detach().float()
    _check_values(float(values.min()), float(values.max()), name)
    return ModelInput(tensor.float().clamp(0, 1), name, Preparation(spec.size, spec.size))


def _shape_hint(given: tuple[int, ...], shape: tuple[int, ...], spec: ImageSpec) -> str:
    """Return the cure for a tensor of the wrong shape; ``given`` is its shape with a batch of one around it."""
    if len(given) == 4 and given[0] != 1:
        return "; these are several images" if given[0] else "; this is an empty batch"
    if not all(shape):
        return "; it is empty"
    if shape == (*spec.size, spec.channels):
        return "; its channels come last, so use .permute(2, 0, 1)"
    if len(shape) == 3 and shape[0] == spec.channels:
        return "; resize it, or give a picture of uint8 values, a PIL image or a file, which the model resizes itself"
    return ""


def _check_values(low: float, high: float, name: str) -> None:
    """Refuse values that cannot be pixels in [0, 1], and say what they seem to be."""
    if low >= -ROUNDING and high <= 1 + ROUNDING:
        if 0 < high <= 1.01 / 255:
            raise UserError(
                f"{name}: values from {low:.2g} to {high:.2g} would be black; "
                "they seem to be divided by 255 twice, so divide them once"
            )
        return
    found = f"{name}: values from {low:.3g} to {high:.3g}; the model reads images in [0, 1]"
    if not (np.isfinite(low) and np.isfinite(high)):
        raise UserError(f"{found}, and these are not all finite")
    if low < -ROUNDING:
        raise UserError(
            f"{found} and normalises them itself; give them as they were before their normalisation"
        )
    if 2 < high <= 255:
        raise UserError(f"{found}; divide them by 255, or give them as uint8")
    raise UserError(f"{found} and normalises them itself")
