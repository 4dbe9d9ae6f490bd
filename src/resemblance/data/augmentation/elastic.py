"""Elastic deformation of whole batches (Simard et al. 2003, as in PrototypeDL)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

SIGMA = 4.0
ALPHA = 20.0


@lru_cache
def gaussian_matrix(size: int, sigma: float = SIGMA) -> Tensor:
    """Return the matrix (size, size) of a Gaussian filter, cut at four deviations, with zeros outside the image."""
    radius = int(4.0 * sigma + 0.5)
    offsets = torch.arange(size)[:, None] - torch.arange(size)[None]
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2) / kernel.sum()
    return torch.where(offsets.abs() <= radius, weights, 0)


def displacements(noise: Tensor) -> Tensor:
    """Compute smooth displacement fields, in pixels, from uniform noise (..., H, W) in [−1, 1)."""
    rows, columns = gaussian_matrix(noise.shape[-2]), gaussian_matrix(noise.shape[-1])
    return ALPHA * (rows @ noise @ columns.T)


def elastic(images: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
    """Deform each image by its own random fields for rows and columns; pixels from outside the image are 0.

    Uniform noise in [−1, 1) is smoothed by a Gaussian with a deviation of 4 pixels and scaled by 20, and the image is
    sampled bilinearly at the displaced places.

    Args:
        images: (B, C, H, W).
        rngs: one generator per image.

    Example:
        >>> elastic(torch.ones(1, 1, 28, 28), [np.random.default_rng(0)]).shape
        torch.Size([1, 1, 28, 28])
    """
    height, width = images.shape[-2:]
    noise = np.empty((len(rngs), 2, height, width), dtype=np.float32)
    for field, rng in zip(noise, rngs, strict=True):
        rng.random(out=field, dtype=np.float32)
    fields = displacements(torch.from_numpy(noise).mul_(2).sub_(1))
    rows = torch.arange(height)[:, None] + fields[:, 0]
    columns = torch.arange(width)[None] + fields[:, 1]
    grid = torch.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1], dim=-1)
    deformed = F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    inside = (rows >= 0) & (rows <= height - 1) & (columns >= 0) & (columns <= width - 1)
    return deformed * inside[:, None]  # grid_sample alone would fade out over one more pixel
