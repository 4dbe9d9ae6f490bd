"""Distances and similarities to prototypes, as pure functions.

Maps are compared by one matrix product; whole vectors exactly, by differences, where a distance of zero must be
computed as zero.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

EPSILON = 1e-4


def log_similarity(squared: Tensor, epsilon: float = EPSILON) -> Tensor:
    """Turn squared distances into similarities, log((d² + 1) / (d² + ε)).

    It is computed as log1p((1 − ε) / (d² + ε)), which is equal, and in float32 stays positive and strictly decreasing
    at large distances. Source: Chen et al. 2019, section 2.1.

    Args:
        squared: squared distances, any shape.
        epsilon: ε; the similarity at distance 0 is −log ε.

    Example:
        >>> [round(value, 3) for value in log_similarity(torch.tensor([0.0, 1.0, 3.0])).tolist()]
        [9.21, 0.693, 0.288]
    """
    return torch.log1p((1 - epsilon) / (squared + epsilon))


def linear_similarity(squared: Tensor) -> Tensor:
    """Return the negative squared distances as similarities.

    Example:
        >>> linear_similarity(torch.tensor([0.25]))
        tensor([-0.2500])
    """
    return -squared


def squared_distances(latents: Tensor, vectors: Tensor, exact: bool = False) -> Tensor:
    """Return squared Euclidean distances between all windows of latent maps and all prototypes.

    Args:
        latents: (B, D, H, W).
        vectors: (P, D, h, w).
        exact: compute differences instead of a matrix product; slower.

    Returns:
        (B, P, H − h + 1, W − w + 1), clamped at 0.

    Example:
        >>> z = torch.tensor([0.5, 0.5]).reshape(1, 2, 1, 1)
        >>> p = torch.tensor([0.5, 0.0]).reshape(1, 2, 1, 1)
        >>> squared_distances(z, p).item()
        0.25
    """
    height, width = vectors.shape[-2:]
    if exact:
        rows = _windows(latents, height, width).transpose(1, 2)  # (B, H'W', Dhw)
        distances = pairwise_squared(rows, vectors.flatten(1)).transpose(1, 2)
        return distances.reshape(*distances.shape[:2], latents.shape[2] - height + 1, -1)
    norms = vectors.square().sum(dim=(1, 2, 3))
    if (height, width) == (1, 1):
        rows = latents.flatten(2)  # (B, D, HW)
        products = vectors.flatten(1) @ rows  # (B, P, HW)
        squares = rows.square().sum(dim=1, keepdim=True)
        distances = torch.addcmul(squares + norms[:, None], products, products.new_tensor(-2.0))
        return distances.clamp_min(0).reshape(*distances.shape[:2], *latents.shape[-2:])
    products = F.conv2d(latents, vectors)
    squares = F.conv2d(latents.square().sum(dim=1, keepdim=True), latents.new_ones(1, 1, height, width))
    return (squares - 2 * products + norms[:, None, None]).clamp_min(0)


def nearest_patches(latents: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return the smallest squared distance of each image to each prototype, and its cell.

    Args:
        latents: (B, D, H, W).
        vectors: (P, D, h, w).

    Returns:
        Squared distances (B, P) and flat cell indices (B, P); ties go to the lowest index.
    """
    values, cells = squared_distances(latents, vectors).flatten(2).min(dim=2)
    return values, cells


def nearest_distances(latents: Tensor, vectors: Tensor) -> Tensor:
    """Return the smallest squared distance of each image to each prototype, by differences.

    A matrix product selects the nearest window; its distance is then computed exactly, so that it can be 0, and so
    that the square root of a small distance has an accurate gradient.

    Args:
        latents: (B, D, H, W).
        vectors: (P, D, h, w).

    Returns:
        (B, P).

    Example:
        >>> z = torch.rand(2, 8, 3, 3)
        >>> nearest_distances(z, z[:, :, 1:2, 2:]).diagonal()
        tensor([0., 0.])
    """
    with torch.no_grad():
        cells = nearest_patches(latents, vectors)[1]  # (B, P)
    windows = _windows(latents, *vectors.shape[-2:]).transpose(1, 2)  # (B, H'W', Dhw)
    first = windows.shape[1] * torch.arange(len(cells), device=cells.device)
    squared: Tensor = _SquaredDifferences.apply(
        windows.flatten(0, 1), vectors.flatten(1), first[:, None] + cells
    )
    return squared


class _SquaredDifferences(torch.autograd.Function):
    """Compute ‖rows[index_bp] − vectors_p‖² (B, P), a few images at a time, forward and backward.

    All differences at once would be B·P·D numbers, many times the size of the map: they are not kept but computed
    again, in pieces that fit into the cache of a CPU.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, vectors: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(rows, vectors, index)
        pieces = [
            (rows[part] - vectors).square_().sum(dim=2)
            for part in torch.split(index, _images_at_once(vectors, rows.device))
        ]
        return torch.cat(pieces)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        rows, vectors, index = ctx.saved_tensors
        to_rows, to_vectors = torch.zeros_like(rows), torch.zeros_like(vectors)
        size = _images_at_once(vectors, rows.device)
        for part, share in zip(torch.split(index, size), torch.split(gradient, size), strict=True):
            change = (rows[part] - vectors).mul_(2 * share[:, :, None])
            to_rows.index_add_(0, part.flatten(), change.flatten(0, 1))
            to_vectors -= change.sum(dim=0)
        return to_rows, to_vectors, None


def _images_at_once(vectors: Tensor, device: torch.device) -> int:
    """Return for how many images differences are computed at once."""
    return max((1 << (18 if device.type == "cpu" else 27)) // vectors.numel(), 1)


def _windows(latents: Tensor, height: int, width: int) -> Tensor:
    """Return all windows of maps (B, D, H, W) as columns: (B, D·h·w, H'W')."""
    return latents.flatten(2) if height == width == 1 else F.unfold(latents, (height, width))


def pairwise_distances(rows: Tensor, columns: Tensor) -> Tensor:
    """Return exact Euclidean distances between two sets of vectors; the gradient at distance 0 is 0.

    Args:
        rows: (N, D).
        columns: (P, D).

    Returns:
        (N, P).

    Example:
        >>> pairwise_distances(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
        tensor([[5.]])
    """
    return torch.cdist(rows, columns, compute_mode="donot_use_mm_for_euclid_dist")


def pairwise_squared(rows: Tensor, columns: Tensor) -> Tensor:
    """Return exact squared Euclidean distances between two sets of vectors.

    They come from differences, not from a matrix product, which in float32 results in 0.003 to 0.013 instead of 0.

    Args:
        rows: (N, D).
        columns: (P, D).

    Returns:
        (N, P).

    Example:
        >>> pairwise_squared(torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 1.0], [3.0, 0.0]])).round()
        tensor([[1., 9.],
                [2., 4.]])
    """
    return pairwise_distances(rows, columns).square()
