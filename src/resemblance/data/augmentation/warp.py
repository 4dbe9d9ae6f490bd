"""Warp images by homographies, each by its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def warped(images: Tensor, matrices: Sequence[Tensor], padding: str) -> Tensor:
    """Sample images at the places to which homographies (3, 3) map each pixel, in units of half the longer side."""
    height, width = images.shape[-2:]
    square = torch.diag(torch.tensor([width / max(height, width), height / max(height, width), 1.0]))
    homographies = torch.stack([square.inverse() @ matrix @ square for matrix in matrices])
    y, x = torch.meshgrid(
        (2 * torch.arange(height) + 1) / height - 1, (2 * torch.arange(width) + 1) / width - 1, indexing="ij"
    )
    places = torch.stack([x, y, torch.ones_like(x)], dim=-1) @ homographies[:, None].transpose(-1, -2)
    grid = places[..., :2] / places[..., 2:].clamp_min(1e-3)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def rotation(degrees: float) -> Tensor:
    """Return the matrix (3, 3) of a rotation about the centre."""
    angle, matrix = np.deg2rad(degrees), torch.eye(3)
    matrix[:2, :2] = torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return matrix
