"""Convert pictures to the tensors that models read."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from resemblance.config.image import ImageSpec
from resemblance.data.formats.jpeg_draft import DRAFT
from resemblance.data.geometry import Preparation, prepare


def to_pixels(image: Image.Image, spec: ImageSpec) -> NDArray[np.uint8]:
    """Return the pixels (H, W, C) uint8 of a picture as the model reads it: at its size, with its channels.

    By default the picture is resized bilinearly with antialiasing, and the aspect ratio is not kept, as in the papers.
    """
    original, box = image.info.get(DRAFT, ((image.height, image.width), None))
    mode = "L" if spec.channels == 1 else "RGB"
    image = image if image.mode == mode else image.convert(mode)  # Pillow would copy it
    fill = tuple(round(255 * value) for value in spec.padding)
    image = prepare(image, Preparation.of(spec, original), spec.interpolation, fill, box)
    pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def to_tensor(image: Image.Image, spec: ImageSpec) -> Tensor:
    """Convert a picture to a tensor (C, H, W) in [0, 1].

    Example:
        >>> to_tensor(Image.new("RGB", (40, 30), "white"), ImageSpec(8, 8, 1, (0.5,), (0.5,))).shape
        torch.Size([1, 8, 8])
    """
    return scaled(to_pixels(image, spec)[None])[0]


def scaled(pixels: NDArray[np.uint8]) -> Tensor:
    """Convert pixels (B, H, W, C) uint8 to a tensor (B, C, H, W) in [0, 1]."""
    return torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32, order="C")).div_(255)


def unchanged(shape: tuple[int, ...], spec: ImageSpec) -> bool:
    """Check whether the model reads images (N, H, W, C) of this shape as they are."""
    return shape[3] == spec.channels and Preparation.of(spec, (shape[1], shape[2])).changes_nothing
