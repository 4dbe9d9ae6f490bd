"""Distances and similarities to prototypes, as pure functions.

Maps are compared by one matrix product, which selects the nearest window of each map; its distance, and those of
whole vectors, are then computed by differences, so that a distance of zero is computed as zero. The rounding of
‖z‖² − 2zp + ‖p‖² would be magnified by 1/ε beside a prototype, and it depends on the kernels that the batch selects.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from resemblance.prototypes.precision import is_recorded

EPSILON = 1e-4
CANCELLED = 1e-7  # a squared distance below this share of the squared lengths lacks digits, even in float64
FEWEST = 64  # prototypes in a matrix product, which is slow with fewer


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

    They come from a matrix product. The smallest one of each image and prototype, on which similarities depend, is
    computed by differences; none is smaller.

    Args:
        latents: (B, D, H, W).
        vectors: (P, D, h, w).
        exact: compute all of them by differences; slower.

    Returns:
        (B, P, H − h + 1, W − w + 1), at least 0.

    Example:
        >>> z = torch.tensor([0.5, 0.5]).reshape(1, 2, 1, 1)
        >>> p = torch.tensor([0.5, 0.0]).reshape(1, 2, 1, 1)
        >>> squared_distances(z, p).item()
        0.25
    """
    height, width = vectors.shape[-2:]
    grid = latents.shape[2] - height + 1, latents.shape[3] - width + 1
    if exact:
        rows = _windows(latents, height, width).transpose(1, 2)  # (B, H'W', Dhw)
        distances = pairwise_squared(rows, vectors.flatten(1)).transpose(1, 2)
        return distances.reshape(*distances.shape[:2], *grid)
    relative = _relative_distances(latents, vectors)
    cells = relative.min(dim=2).indices
    smallest = _distances_at(latents, vectors, cells)[:, :, None]
    distances = relative + vectors.square().sum(dim=(1, 2, 3))[:, None]
    distances = torch.maximum(distances, smallest).scatter(2, cells[:, :, None], smallest)
    return distances.reshape(*distances.shape[:2], *grid)


def nearest_patches(latents: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return the smallest squared distance of each image to each prototype, and its cell.

    A matrix product selects the nearest window; its distance is then computed by differences, so that it can be 0,
    and so that the square root of a small distance has an accurate gradient. Of windows that are equally near up to
    the rounding of the product, it may select any.

    Args:
        latents: (B, D, H, W).
        vectors: (P, D, h, w).

    Returns:
        Squared distances (B, P), differentiable once, and flat cell indices (B, P); ties go to the lowest index.

    Example:
        >>> z = torch.rand(2, 8, 3, 3)
        >>> distances, cells = nearest_patches(z, z[:, :, 1:2, 2:])
        >>> distances.diagonal(), cells.diagonal()
        (tensor([0., 0.]), tensor([5, 5]))
    """
    cells = _nearest_cells(latents, vectors)
    return _distances_at(latents, vectors, cells), cells


def prototypes_in_parts(latents: Tensor, vectors: Tensor) -> tuple[Tensor, ...]:
    """Split prototypes (P, ...) into parts that are compared with all windows of latents (B, D, H, W) in turn.

    The comparison of all windows with all prototypes at once would be the largest tensor of a model with many classes.

    Example:
        >>> [len(part) for part in prototypes_in_parts(torch.zeros(16, 1, 7, 7), torch.zeros(2000, 1, 1, 1))]
        [1337, 663]
    """
    if is_recorded():
        return (vectors,)
    numbers = len(latents) * latents.shape[2] * latents.shape[3] // 8  # few and large products are faster
    return torch.split(vectors, max(_prototypes_at_once(numbers, latents.device), FEWEST))


@torch.no_grad()
def _nearest_cells(latents: Tensor, vectors: Tensor) -> Tensor:
    """Return the nearest window of each image to each prototype, (B, P)."""
    parts = [
        _relative_distances(latents, part).min(dim=2).indices
        for part in prototypes_in_parts(latents, vectors)
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _relative_distances(latents: Tensor, vectors: Tensor) -> Tensor:
    """Return ‖z‖² − 2zp of all windows, (B, P, H'W'): ‖p‖², which is the same for all of them, is left out."""
    height, width = vectors.shape[-2:]
    if (height, width) == (1, 1):
        rows, columns = latents.flatten(2), vectors.flatten(1)  # (B, D, HW), (P, D)
        if is_recorded():
            return rows.square().sum(dim=1, keepdim=True) - 2 * (columns @ rows)
        together = rows.transpose(0, 1).flatten(1)  # (D, B·HW), so that it is one product for all images
        distances = torch.addmm(together.square().sum(dim=0), columns, together, alpha=-2)
        return distances.reshape(len(vectors), len(latents), rows.shape[2]).transpose(0, 1)
    products = F.conv2d(latents, vectors)
    squares = F.conv2d(latents.square().sum(dim=1, keepdim=True), latents.new_ones(1, 1, height, width))
    return torch.sub(squares, products, alpha=2).flatten(2)


def _distances_at(latents: Tensor, vectors: Tensor, cells: Tensor) -> Tensor:
    """Return ‖z − p‖² of one window per image and prototype, by differences; ``cells``: (B, P) → (B, P)."""
    windows = _windows(latents, *vectors.shape[-2:]).transpose(1, 2)  # (B, H'W', Dhw)
    if is_recorded():
        chosen = windows.gather(1, cells[:, :, None].expand(-1, -1, windows.shape[2]))
        return (chosen - vectors.flatten(1)).square().sum(dim=2)
    first = windows.shape[1] * torch.arange(len(cells), device=cells.device)
    squared: Tensor = _SquaredDifferences.apply(
        windows.flatten(0, 1), vectors.flatten(1), first[:, None] + cells
    )
    return squared


class _SquaredDifferences(torch.autograd.Function):
    """Compute ‖rows[index_bp] − vectors_p‖² (B, P), a few prototypes at a time, forward and backward.

    All differences at once would be B·P·D numbers, many times the size of the map: they are not kept but computed
    again, in pieces that fit into the cache of a CPU.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, vectors: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(rows, vectors, index)
        squared = rows.new_empty(index.shape)
        for part in _parts(rows, index):
            squared[:, part] = _differences(rows, vectors[part], index[:, part]).square_().sum(dim=2)
        return squared

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        rows, vectors, index = ctx.saved_tensors
        to_rows, to_vectors = torch.zeros_like(rows), torch.empty_like(vectors)
        for part in _parts(rows, index):
            change = _differences(rows, vectors[part], index[:, part]).mul_(2 * gradient[:, part, None])
            to_rows.index_add_(0, index[:, part].flatten(), change.flatten(0, 1))
            to_vectors[part] = -change.sum(dim=0)
        return to_rows, to_vectors, None


def _differences(rows: Tensor, vectors: Tensor, index: Tensor) -> Tensor:
    """Return rows[index_bp] − vectors_p, (B, P, D)."""
    return rows.index_select(0, index.flatten()).reshape(*index.shape, rows.shape[1]).sub_(vectors)


def _parts(rows: Tensor, index: Tensor) -> Iterator[slice]:
    """Yield slices of the prototypes whose differences are computed at once, ``index``: (B, P)."""
    size = _prototypes_at_once(len(index) * rows.shape[1], rows.device)
    return (slice(first, first + size) for first in range(0, index.shape[1], size))


def _prototypes_at_once(numbers: int, device: torch.device) -> int:
    """Return for how many prototypes differences are computed at once, if each needs so many numbers."""
    return max((1 << (17 if device.type == "cpu" else 25)) // max(numbers, 1), 1)


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
    if is_recorded():
        squared = _all_differences(rows, columns)
        apart = squared > 0
        return torch.where(apart, squared, 1).sqrt() * apart
    return torch.cdist(rows, columns, compute_mode="donot_use_mm_for_euclid_dist")


def pairwise_squared(rows: Tensor, columns: Tensor) -> Tensor:
    """Return exact squared Euclidean distances between two sets of vectors.

    A matrix product in float32 would result in 0.003 to 0.013 instead of 0. So they come from differences; on a CPU
    and without gradients from a product in float64, which is up to 13 times as fast and more accurate, but for rows
    and columns that almost coincide.

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
    if is_recorded():
        return _all_differences(rows, columns)
    learns = torch.is_grad_enabled() and (rows.requires_grad or columns.requires_grad)
    if rows.dim() == 2 and rows.dtype == torch.float32 and rows.device.type == "cpu" and not learns:
        return _squared_by_product(rows, columns)
    return pairwise_distances(rows, columns).square()


def _squared_by_product(rows: Tensor, columns: Tensor) -> Tensor:
    """Return ‖row‖² − 2 row·column + ‖column‖² of (N, D) and (P, D), computed in float64."""
    rows, columns = rows.double(), columns.double()
    of_rows, of_columns = rows.square().sum(dim=1), columns.square().sum(dim=1)
    squared = torch.addmm(of_rows[:, None] + of_columns, rows, columns.T, alpha=-2)
    if not squared.numel() or squared.amin() >= CANCELLED * (of_rows.amax() + of_columns.amax()):
        return squared.float()
    row, column = (squared < CANCELLED * (of_rows[:, None] + of_columns)).nonzero(as_tuple=True)
    for some in torch.split(torch.arange(len(row)), _prototypes_at_once(rows.shape[1], rows.device)):
        squared[row[some], column[some]] = (rows[row[some]] - columns[column[some]]).square().sum(dim=1)
    return squared.float()


def _all_differences(rows: Tensor, columns: Tensor) -> Tensor:
    """Return ‖row − column‖² of (..., N, D) and (P, D), with N·P·D numbers in memory: other software has no cdist."""
    return (rows[..., :, None, :] - columns).square().sum(dim=-1)
