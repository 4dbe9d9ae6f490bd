"""The two parts of a focal similarity, the nearest cell and the mean over all cells, without keeping the map.

Rymarczyk et al. 2022 compare the most similar place of an image with its average (eq. 1). The mean needs every cell.
One map per prototype, kept for the backward pass with all intermediate tensors, would be the largest tensor of a
training step. So images are processed in blocks, and the backward pass computes their maps again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from resemblance.prototypes.precision import full_precision, is_recorded
from resemblance.prototypes.similarity import EPSILON, log_similarity, squared_distances

BLOCK = 1 << 22  # number of map entries that are in memory at once

Mean = Literal["similarity", "distance"]


def nearest_and_mean(latents: Tensor, vectors: Tensor, mean: Mean = "similarity") -> tuple[Tensor, Tensor]:
    """Compute the smallest squared distance of each image to each prototype, and a mean over all its cells.

    Args:
        latents: (B, D, H, W).
        vectors: (P, D, 1, 1).
        mean: whether the mean is over the logarithmic similarities of the cells, or over their squared distances.

    Returns:
        Smallest squared distances (B, P) and means (B, P), both differentiable once.

    Example:
        >>> latents = torch.tensor([0.0, 1.0, 1.0, 2.0]).sqrt().reshape(1, 1, 2, 2)
        >>> nearest, mean = nearest_and_mean(latents, torch.zeros(1, 1, 1, 1))
        >>> round((log_similarity(nearest) - mean).item(), 4)
        6.4599
    """
    if is_recorded():
        distances = squared_distances(latents, vectors).flatten(2)
        averaged = log_similarity(distances) if mean == "similarity" else distances
        return distances.amin(dim=2), averaged.mean(dim=2)
    nearest, means = _Pooled.apply(latents, vectors, mean)
    return nearest, means


def similarity_slope(squared: Tensor, epsilon: float = EPSILON) -> Tensor:
    """Compute the derivative of `log_similarity` with respect to the squared distance.

    Example:
        >>> [round(value, 3) for value in similarity_slope(torch.tensor([0.0, 1.0])).tolist()]
        [-9999.0, -0.5]
    """
    return (epsilon - 1) / ((squared + 1) * (squared + epsilon))


class _Pooled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, latents: Tensor, vectors: Tensor, mean: Mean) -> tuple[Tensor, Tensor]:
        parts = []
        for rows in _blocks(latents, len(vectors)):
            distances = squared_distances(latents[rows], vectors).flatten(2)  # (b, P, HW)
            values, cells = distances.min(dim=2)
            averaged = log_similarity(distances) if mean == "similarity" else distances
            parts.append((values, cells, averaged.mean(dim=2)))
        nearest, cells, means = (torch.cat(columns) for columns in zip(*parts, strict=True))
        ctx.save_for_backward(latents, vectors, cells)
        ctx.mean = mean
        return nearest, means

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_nearest: Tensor, to_mean: Tensor) -> tuple[Tensor, Tensor, None]:
        latents, vectors, cells = ctx.saved_tensors
        columns = vectors.flatten(1)  # (P, D)
        to_latents, to_vectors = torch.empty_like(latents), torch.zeros_like(columns)
        with full_precision(latents):
            for rows in _blocks(latents, len(vectors)):
                z = latents[rows].flatten(2)  # (b, D, HW)
                # ∂loss/∂d² of each cell: that of the mean for all cells, plus that of the nearest cell.
                slopes = (to_mean[rows] / z.shape[2])[:, :, None]
                if ctx.mean == "similarity":
                    slopes = slopes * similarity_slope(squared_distances(latents[rows], vectors).flatten(2))
                else:
                    slopes = slopes.expand(-1, -1, z.shape[2]).contiguous()
                slopes.scatter_add_(2, cells[rows, :, None], to_nearest[rows, :, None])
                # d² = |z − p|²
                to_z = 2 * (z * slopes.sum(dim=1, keepdim=True) - columns.T @ slopes)
                to_latents[rows] = to_z.reshape_as(latents[rows])
                products = torch.einsum("bph,bdh->pd", slopes, z)
                to_vectors += 2 * (columns * slopes.sum(dim=(0, 2))[:, None] - products)
        return to_latents, to_vectors.reshape_as(vectors), None


def _blocks(latents: Tensor, prototypes: int) -> Iterator[slice]:
    """Return slices of images whose maps fit into a block."""
    size = max(BLOCK // (prototypes * latents.shape[2] * latents.shape[3]), 1)
    return (slice(start, start + size) for start in range(0, len(latents), size))
