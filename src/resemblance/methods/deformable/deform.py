"""Windows whose parts move: a map is read at fractional positions without changing the lengths of its vectors.

A window is a square of parts that are ``DILATION`` cells apart. Each part reads the map where its offset points to,
between four cells: the square root of the bilinearly interpolated *squares* of their features (Donnelly et al. 2022,
theorem 3.1). Because squares are interpolated, a part between vectors of equal length reads a vector of that length.
Outside the map it reads a zero vector.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from resemblance.prototypes.precision import is_recorded

DILATION = 2  # cells between neighbouring parts
PADDING = 1  # cells by which the first window extends beyond the map


def window_grid(size: tuple[int, int], parts: int) -> tuple[int, int]:
    """Return the rows and columns of windows on a map of ``size``; below 1 if the map is too small.

    Example:
        >>> window_grid((14, 14), 2), window_grid((14, 14), 3)
        ((14, 14), (12, 12))
    """
    reach = DILATION * (parts - 1) - 2 * PADDING
    return size[0] - reach, size[1] - reach


def undeformed_positions(grid: tuple[int, int], parts: int, device: torch.device | None = None) -> Tensor:
    """Return the row and column of each part of each window before it moves, (h·w, ρ, 2) int64.

    Example:
        >>> undeformed_positions((1, 1), 2).tolist()
        [[[-1, -1], [-1, 1], [1, -1], [1, 1]]]
    """
    rows, columns = (torch.arange(length, device=device) for length in grid)
    windows = torch.cartesian_prod(rows, columns).reshape(-1, 1, 2)
    step = torch.arange(parts, device=device) * DILATION - PADDING
    return windows + torch.cartesian_prod(step, step).reshape(1, -1, 2)


def part_positions(offsets: Tensor, parts: int) -> Tensor:
    """Return the row and column of each part after it has moved, (B, h·w, ρ, 2), in cells; offsets (B, 2ρ, h, w)."""
    return undeformed_positions((offsets.shape[2], offsets.shape[3]), parts, offsets.device) + _by_part(
        offsets
    )


def _by_part(offsets: Tensor) -> Tensor:
    """Reorder offsets (B, 2ρ, h, w) as (B, h·w, ρ, 2)."""
    batch, count, height, width = offsets.shape
    return offsets.flatten(2).transpose(1, 2).reshape(batch, height * width, count // 2, 2)


def corners(offsets: Tensor, size: tuple[int, int], parts: int) -> tuple[Tensor, Tensor]:
    """Return the four cells around each part, and their bilinear weights.

    Args:
        offsets: (B, 2ρ, h, w), row and column of each part in turn, in cells.
        size: H and W of the map.
        parts: parts per side of a window; ρ = parts².

    Returns:
        Flat indices of cells and weights, (B, h·w, ρ, 4) each; the weight of a cell outside the map is 0.

    Example:
        >>> offsets = torch.tensor([1.5, 1.0, 1.5, -1.0, -1.0, 1.0, -1.0, -1.0]).reshape(1, 8, 1, 1)
        >>> cells, weights = corners(offsets, (2, 2), 2)
        >>> cells[0, 0, 0].tolist(), weights[0, 0, 0].tolist()
        ([0, 1, 2, 3], [0.5, 0.0, 0.5, 0.0])
    """
    height, width = size
    moves = _by_part(offsets)
    # The fraction is computed from the offset alone: added to a row number, a small offset would lose digits.
    whole = moves.detach().floor()
    fraction = moves - whole
    first = undeformed_positions((offsets.shape[2], offsets.shape[3]), parts, offsets.device) + whole.long()
    rows = torch.stack([first[..., 0], first[..., 0], first[..., 0] + 1, first[..., 0] + 1], dim=-1)
    columns = torch.stack([first[..., 1], first[..., 1] + 1, first[..., 1], first[..., 1] + 1], dim=-1)
    y, x = fraction[..., 0], fraction[..., 1]
    weights = torch.stack([(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x], dim=-1)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    cells = rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)
    return cells, torch.where(inside, weights, 0)


def sample(features: Tensor, images: Tensor, cells: Tensor, weights: Tensor) -> Tensor:
    """Read the features at the parts of some windows: the square root of the weighted squares of four cells.

    The square root has no derivative at 0; its gradient there is set to 0.

    Args:
        features: (B, E, H, W), not negative.
        images: (n,), the index of the map that each window belongs to.
        cells: (n, ρ, 4), as `corners` returns them.
        weights: (n, ρ, 4).

    Returns:
        (n, ρ, E).

    Example:
        >>> features = torch.eye(2).reshape(1, 2, 1, 2)  # two unit vectors beside each other
        >>> half = torch.tensor([0.5, 0.5, 0.0, 0.0]).reshape(1, 1, 4)
        >>> sample(features, torch.tensor([0]), torch.tensor([[[0, 1, 0, 0]]]), half)
        tensor([[[0.7071, 0.7071]]])
    """
    channels, area = features.shape[1], features.shape[2] * features.shape[3]
    squares = features.square().permute(0, 2, 3, 1).reshape(-1, channels)
    chosen = (cells + area * images[:, None, None]).reshape(-1, 4)
    shares = weights.reshape(-1, 4)
    if is_recorded():  # other software would loop over the bags
        mixed = (squares[chosen] * shares[:, :, None]).sum(dim=1)
    else:
        mixed = F.embedding_bag(chosen, squares, per_sample_weights=shares, mode="sum")
    present = mixed > 0
    roots = torch.where(present, mixed, 1).sqrt() * present
    return roots.reshape(*cells.shape[:2], channels)


class _LargestProducts(torch.autograd.Function):
    """The largest of many inner products; only the largest has a gradient, so that the backward pass is cheap."""

    @staticmethod
    def forward(ctx: Any, windows: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        values, places = (windows @ vectors.T).max(dim=1)
        ctx.save_for_backward(windows, vectors, places)
        ctx.mark_non_differentiable(places)
        return values, places

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, Tensor | None]:
        windows, vectors, places = ctx.saved_tensors
        batch, count, length = windows.shape
        chosen = places + count * torch.arange(batch, device=places.device)[:, None]  # (B, P), of all windows
        to_windows = to_vectors = None
        if ctx.needs_input_grad[0]:
            order = chosen.flatten().argsort(stable=True)
            counts = chosen.flatten().bincount(minlength=batch * count)
            to_windows = F.embedding_bag(
                order % len(vectors),
                vectors,
                counts.cumsum(0) - counts,
                per_sample_weights=grad.flatten()[order],
                mode="sum",
            ).reshape(windows.shape)
        if ctx.needs_input_grad[1]:
            to_vectors = F.embedding_bag(
                chosen.T.contiguous(),
                windows.reshape(-1, length),
                per_sample_weights=grad.T.contiguous(),
                mode="sum",
            )
        return to_windows, to_vectors


def largest_products(windows: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest inner product of each image's windows with each vector, and the index of that window.

    Its gradient costs B · P products instead of B · L · P.

    Args:
        windows: (B, L, K).
        vectors: (P, K).

    Returns:
        Values and window indices, (B, P) each; ties go to the lowest index.

    Example:
        >>> windows = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
        >>> largest_products(windows, torch.eye(2))
        (tensor([[1., 2.]]), tensor([[0, 1]]))
    """
    if is_recorded():
        largest = (windows @ vectors.T).max(dim=1)
        return largest.values, largest.indices
    values, places = _LargestProducts.apply(windows, vectors)
    return values, places
