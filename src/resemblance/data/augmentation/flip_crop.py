"""Flips, and random crops after padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def flip(images: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
    """Mirror each image (B, C, H, W) with probability one half."""
    mirrored = torch.tensor([rng.random() < 0.5 for rng in rngs])
    return torch.where(mirrored[:, None, None, None], images.flip(-1), images)


def crop(images: Tensor, rngs: Sequence[np.random.Generator], margin: int = 2) -> Tensor:
    """Shift each image by up to ``margin`` pixels, with zeros at the border: a random crop after padding."""
    height, width = images.shape[-2:]
    padded = F.pad(images, (margin,) * 4)
    offsets = [rng.integers(0, 2 * margin + 1, 2) for rng in rngs]
    return torch.stack([padded[i, :, y : y + height, x : x + width] for i, (y, x) in enumerate(offsets)])


def flip_and_crop(images: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
    """Apply `flip`, then `crop`."""
    return crop(flip(images, rngs), rngs)
