"""Regions of an image as cells of a similarity map, and the pixels of these cells.

A map of h×w cells is laid over the image of H×W pixels. Pixel row y belongs to the cell row ⌊y·h / H⌋, and the same
holds for columns; so each pixel belongs to one cell, also where H is not a multiple of h.
"""

from __future__ import annotations

import torch
from torch import Tensor

Sides = tuple[int, int]  # rows, columns


def cell_pixels(cells: Tensor, size: Sides) -> Tensor:
    """Return the pixels of cells, and no others.

    Args:
        cells: (B, h, w) bool.
        size: height and width of the image.

    Returns:
        (B, 1, H, W) bool.

    Example:
        >>> cells = torch.tensor([[[True, False], [False, True]]])
        >>> cell_pixels(cells, (2, 5)).int().tolist()
        [[[[1, 1, 1, 0, 0], [0, 0, 0, 1, 1]]]]
    """
    rows, columns = (
        torch.arange(length, device=cells.device) * count // length
        for count, length in zip(cells.shape[1:], size, strict=True)
    )
    return cells[:, rows[:, None], columns[None]][:, None]


def box_cells(boxes: Tensor, grid: Sides, size: Sides) -> Tensor:
    """Return the cells of boxes: those that hold their edges, and all between.

    The cell that holds the right and the lower edge counts, so that a box that ends between two cells has the next one
    too. Source: the released code of Hoffmann et al. 2021.

    Args:
        boxes: (B, 4) int64: x0, y0, x1, y1 in pixels, right and lower edge exclusive.
        grid: rows and columns of the map.
        size: height and width of the image.

    Returns:
        (B, h, w) bool.

    Example:
        >>> cells = box_cells(torch.tensor([[64, 40, 128, 100]]), (7, 7), (224, 224))[0]
        >>> cells.any(dim=1).nonzero().flatten().tolist(), cells.any(dim=0).nonzero().flatten().tolist()
        ([1, 2, 3], [2, 3, 4])
    """
    inside = []
    for axis in (1, 0):  # rows from y, columns from x
        count, length = grid[1 - axis], size[1 - axis]
        first, last = boxes[:, axis] * count // length, boxes[:, axis + 2] * count // length
        position = torch.arange(count, device=boxes.device)
        inside.append((position >= first[:, None]) & (position <= last[:, None]))
    cells: Tensor = inside[0][:, :, None] & inside[1][:, None, :]
    return cells


def box_pixels(boxes: Tensor, size: Sides) -> Tensor:
    """Return the pixels of boxes (B, 4) as (B, 1, H, W) bool.

    Example:
        >>> box_pixels(torch.tensor([[1, 0, 3, 1]]), (2, 4)).int().tolist()
        [[[[0, 1, 1, 0], [0, 0, 0, 0]]]]
    """
    y, x = (torch.arange(length, device=boxes.device) for length in size)
    x0, y0, x1, y1 = boxes.T[..., None]
    rows, columns = (y >= y0) & (y < y1), (x >= x0) & (x < x1)
    inside: Tensor = rows[:, :, None] & columns[:, None, :]
    return inside[:, None]


def filled_rectangle(cells: Tensor) -> Tensor:
    """Return the smallest rectangle of cells around the given ones, filled: (B, h, w) bool.

    Example:
        >>> cells = torch.zeros(1, 7, 7, dtype=torch.bool)
        >>> cells[0, 3, 3] = cells[0, 4, 4] = True
        >>> filled_rectangle(cells)[0].nonzero().tolist()
        [[3, 3], [3, 4], [4, 3], [4, 4]]
    """
    return _between(cells.any(dim=2))[:, :, None] & _between(cells.any(dim=1))[:, None, :]


def _between(present: Tensor) -> Tensor:
    """Return all positions from the first to the last that is present, (B, n) bool."""
    counts = present.cumsum(dim=1)
    between: Tensor = (counts > 0) & (counts - present.int() < counts[:, -1:])
    return between
