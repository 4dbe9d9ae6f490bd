"""From pictures to the tensors that models read."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from resemblance.config.image import ImageSpec


def to_pixels(image: Image.Image, spec: ImageSpec) -> NDArray[np.uint8]:
    """Pixels (H, W, C) uint8 of a picture at the model's size and channels.

    Resized bilinearly with antialiasing and without regard to the aspect ratio, as the papers do.
    """
    image = image.convert("L" if spec.channels == 1 else "RGB")
    if image.size != (spec.width, spec.height):
        image = image.resize((spec.width, spec.height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def to_tensor(image: Image.Image, spec: ImageSpec) -> Tensor:
    """A picture as (C, H, W) in [0, 1].

    Example:
        >>> to_tensor(Image.new("RGB", (40, 30), "white"), ImageSpec(8, 8, 1, (0.5,), (0.5,))).shape
        torch.Size([1, 8, 8])
    """
    return scaled(to_pixels(image, spec)[None])[0]


def scaled(pixels: NDArray[np.uint8]) -> Tensor:
    """Pixels (B, H, W, C) uint8 as (B, C, H, W) in [0, 1]."""
    return torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32, order="C")).div_(255)
