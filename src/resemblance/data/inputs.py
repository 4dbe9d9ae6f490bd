"""Convert images of all kinds to tensors that models read."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.data.geometry import Preparation
from resemblance.data.images import Pixels, read_image
from resemblance.data.transforms import to_tensor

# Modes of PIL images that no file format here can save, and equivalent ones.
SAVED_AS = {"PA": "RGBA", "RGBa": "RGBA", "La": "LA", "RGBX": "RGB", "YCbCr": "RGB", "HSV": "RGB"}


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


def as_tensor(image: Any, spec: ImageSpec, name: str | None = None) -> ModelInput:
    """Convert one image to the tensor that a model of ``spec`` reads.

    Args:
        image: a path, encoded bytes or an open file; a PIL image; a uint8 array (H, W) or (H, W, C); a float
            array (H, W) or (H, W, C), or a tensor (C, H, W) or (1, C, H, W), in [0, 1] at the model's size.
        spec: size, channels and preparation; arrays of floats and tensors are not prepared.
        name: the name in messages; by default the path, or "image".

    Returns:
        The tensor, the image's name, the mapping of places between the picture and the tensor, and the picture.

    Raises:
        UserError: for anything that is not an image of these kinds.

    Example:
        >>> spec = ImageSpec(8, 8, 1, (0.5,), (0.5,))
        >>> tensor, name, preparation, original = as_tensor(np.full((16, 12), 255, np.uint8), spec)
        >>> tensor.shape, tensor.max().item(), name, preparation.original, original.shape
        (torch.Size([1, 8, 8]), 1.0, 'image', (16, 12), (16, 12, 3))
    """
    if isinstance(image, (str, os.PathLike)):
        name = name or os.fspath(image)
        path = Path(image)
        if path.is_dir():
            raise UserError(f"{name!r} is a folder, not an image; choose an image file in it")
        if not path.is_file():
            raise UserError(f"no such image: {name!r}")
        return _prepared(read_image(path, name), spec, name)
    name = name or "image"
    if isinstance(image, Tensor):
        return _from_tensor(image, spec, name)
    if isinstance(image, Image.Image):
        # Through a file format, so that modes, palettes and rotation are handled in one place.
        return _prepared(_upright(image, name), spec, name)
    if isinstance(image, np.ndarray):
        return _from_array(image, spec, name)
    if isinstance(image, bytes) or hasattr(image, "read"):
        return _prepared(read_image(image, name), spec, name)
    raise UserError(
        f"{name}: a {type(image).__name__} is not an image; use a path, a PIL image, a uint8 array (H, W, C) "
        "or a tensor (C, H, W) in [0, 1]"
    )


def pixels(images: Tensor) -> Pixels:
    """Convert images (..., C, H, W) in [0, 1] to arrays (..., H, W, C) uint8.

    Example:
        >>> pixels(torch.tensor([[[0.0, 0.5, 1.0]]])).tolist()
        [[[0], [128], [255]]]
    """
    levels = images.detach().float().clamp(0, 1).mul(255).round().byte()
    array: Pixels = levels.movedim(-3, -1).contiguous().cpu().numpy()
    return array


def as_picture(tensor: Tensor) -> Pixels:
    """Convert an image (C, H, W) in [0, 1] to a picture (H, W, 3) uint8.

    Example:
        >>> as_picture(torch.ones(1, 2, 2)).shape
        (2, 2, 3)
    """
    return pixels(tensor.expand(3, -1, -1))


def _upright(image: Image.Image, name: str) -> Image.Image:
    if 0 in image.size:
        raise UserError(f"{name}: a picture of {image.width}x{image.height} pixels is empty")
    if image.mode in ("L", "RGB") and not image.getexif():
        return image
    buffer = io.BytesIO()
    try:
        converted = image.convert(SAVED_AS[image.mode]) if image.mode in SAVED_AS else image
        converted.save(buffer, "TIFF" if image.mode in ("CMYK", "F", "I") else "PNG", exif=image.getexif())
    except (OSError, ValueError):
        raise UserError(f"{name}: images of mode {image.mode} cannot be read; convert it to RGB") from None
    return read_image(buffer.getvalue(), name)


def _prepared(image: Image.Image, spec: ImageSpec, name: str) -> ModelInput:
    preparation = Preparation.of(spec, (image.height, image.width))
    original = None
    if not preparation.changes_nothing:
        # A model of grey images sees no colours, so none are shown.
        shown = image.convert("L") if spec.channels == 1 else image.copy()
        shown.thumbnail((LARGEST_SHOWN, LARGEST_SHOWN), Image.Resampling.LANCZOS, reducing_gap=2.0)
        original = np.array(shown.convert("RGB"))
    return ModelInput(to_tensor(image, spec), name, preparation, original)


def _from_array(array: np.ndarray[Any, Any], spec: ImageSpec, name: str) -> ModelInput:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise UserError(
            f"{name}: an array of shape {array.shape} is not an image; expected (H, W) or (H, W, 3)"
        )
    if array.dtype == np.uint8:
        squeezed = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
        return _prepared(_upright(Image.fromarray(np.ascontiguousarray(squeezed)), name), spec, name)
    if not np.issubdtype(array.dtype, np.floating):
        raise UserError(
            f"{name}: an array of {array.dtype} is not an image; expected uint8, or floats in [0, 1]"
        )
    tensor = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    return _from_tensor(tensor[None] if array.ndim == 2 else tensor.permute(2, 0, 1), spec, name)


def _from_tensor(tensor: Tensor, spec: ImageSpec, name: str) -> ModelInput:
    shape = tuple(tensor.shape)
    if tensor.dim() == 4 and len(tensor) == 1:
        tensor = tensor[0]
    if tensor.dim() == 2 and spec.channels == 1:
        tensor = tensor[None]
    expected = (spec.channels, *spec.size)
    if tuple(tensor.shape) != expected:
        raise UserError(f"{name}: the model reads images of shape {expected} in [0, 1], not {shape}")
    if not tensor.is_floating_point():
        raise UserError(f"{name}: expected floats in [0, 1], not {str(tensor.dtype).removeprefix('torch.')}")
    low, high = float(tensor.min()), float(tensor.max())
    if not (low >= -1e-4 and high <= 1 + 1e-4):  # also refuses NaN
        raise UserError(
            f"{name}: values from {low:.3g} to {high:.3g}; the model reads images in [0, 1] "
            "and normalises them itself"
        )
    return ModelInput(tensor.float().clamp(0, 1), name, Preparation(spec.size, spec.size))
