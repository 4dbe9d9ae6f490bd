"""Patches of the image that stand for cells of a map; pure functions."""

from __future__ import annotations

import torch
from torch import Tensor

from resemblance.metrics.since.hits import PAPER_SIDE

SIDE = 32  # pixels of 224


def cell_patches(
    cells: Tensor,
    grid: tuple[int, int],
    size: tuple[int, int],
    *,
    side: float = SIDE,
    definition: str = "default",
) -> Tensor:
    """Return the patches of the image that stand for cells of a map: squares spread evenly over the image.

    Args:
        cells: (...) int64, flat indices into the grid.
        grid: rows and columns of the map.
        size: height and width of the image.
        side: of the patch, in pixels of an image of 224.
        definition: "released" rounds the step between patches and lets the last one end at the border, as the code of
            PIP-Net does; there, a grid of 26 has its own steps.

    Returns:
        (..., 4) float64: x0, y0, x1, y1.

    Example:
        >>> cell_patches(torch.tensor([0, 8]), (3, 3), (224, 224)).tolist()
        [[0.0, 0.0, 32.0, 32.0], [192.0, 192.0, 224.0, 224.0]]
    """
    x0, x1 = _spans(cells % grid[1], grid[1], size[1], side * size[1] / PAPER_SIDE, definition)
    y0, y1 = _spans(cells // grid[1], grid[0], size[0], side * size[0] / PAPER_SIDE, definition)
    return torch.stack([x0, y0, x1, y1], dim=-1)


def _spans(places: Tensor, count: int, length: int, side: float, definition: str) -> tuple[Tensor, Tensor]:
    places = places.double()
    room = length - side
    if count == 1:
        start = torch.full_like(places, room / 2)
    elif definition == "released":
        step = round(room / (count - 1))
        start = ((places - 1) * step + step / 2).clamp_min(0) if count == 26 else places * step
        at_the_end = (start + side >= length) | (places == count - 1)
        start = torch.where(at_the_end, room, start)
    else:
        start = places * room / (count - 1)
    return start, start + side


def cut_to(boxes: Tensor, side: tuple[float, float]) -> Tensor:
    """Cut boxes (..., 4) that are wider or higher than ``side`` (width, height) to it, about their centres.

    Example:
        >>> cut_to(torch.tensor([0.0, 0.0, 64.0, 16.0]), (32, 32)).tolist()
        [16.0, 0.0, 48.0, 16.0]
    """
    boxes = boxes.double()
    low, high = boxes[..., :2], boxes[..., 2:]
    excess = (high - low - torch.tensor(side, dtype=torch.float64, device=boxes.device)).clamp_min(0) / 2
    return torch.cat([low + excess, high - excess], dim=-1)
