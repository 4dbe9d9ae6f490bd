"""Boxes about the maxima of maps, and the annotated points within them; pure functions."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from resemblance.data.regions.regions import Regions, merge_columns
from resemblance.prototypes.maps import upsample

TIE = 1e-5  # of the range of an enlarged map
PAPER_SIDE = 224  # pixels; the papers give the sides of their boxes for images of this size


class Hits(NamedTuple):
    """The parts that boxes hold.

    Args:
        hits: (..., T) bool; a visible point of the part lies in the box, its borders included.
        visible: (..., T) bool.
    """

    hits: Tensor
    visible: Tensor


def maximum_places(maps: Tensor, size: tuple[int, int], mode: str = "bicubic") -> Tensor:
    """Return the pixel of the first maximum of each map, enlarged to the size of the image.

    Pixels within 1e-5 of the map's range below the maximum count as maxima, since rounding, which differs between
    devices and batches, decides among them: the two middle pixels of an enlarged cell, or all those at the border. Of a
    constant map it is the first pixel.

    Args:
        maps: (..., h, w).
        size: height and width of the image.
        mode: of the interpolation, "bicubic" or "bilinear".

    Returns:
        (..., 2) int64: x, y.

    Example:
        >>> maps = torch.zeros(7, 7)
        >>> maps[3, 4] = 1.0
        >>> maximum_places(maps, (224, 224)).tolist()
        [143, 111]
    """
    is_constant = constant(maps)
    if tuple(maps.shape[-2:]) != tuple(size):
        maps = upsample(maps, size) if mode == "bicubic" else enlarge(maps, size)
    flat = maps.flatten(-2)
    low, high = flat.aminmax(dim=-1, keepdim=True)
    # Of several equal maxima, argmax returns the first.
    first = (flat >= high - TIE * (high - low)).byte().argmax(dim=-1).masked_fill(is_constant, 0)
    return torch.stack([first % size[1], first // size[1]], dim=-1)


def enlarge(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarge maps (..., h, w) bilinearly to (..., H, W), in their own precision.

    Example:
        >>> enlarge(torch.zeros(2, 7, 7, dtype=torch.float64), (28, 28)).shape
        torch.Size([2, 28, 28])
    """
    flat = maps.reshape(-1, 1, *maps.shape[-2:])
    large = F.interpolate(flat, size=tuple(size), mode="bilinear", align_corners=False)
    return large.reshape(*maps.shape[:-2], *large.shape[-2:])


def full_maps(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Return maps (B, H, W) or (B, K, h, w) as (B, K, H, W), enlarged bilinearly where they are smaller.

    Example:
        >>> full_maps(torch.zeros(2, 7, 7), (28, 28)).shape
        torch.Size([2, 1, 28, 28])
    """
    maps = maps[:, None] if maps.dim() == 3 else maps
    return maps if tuple(maps.shape[-2:]) == tuple(size) else enlarge(maps, size)


def boxes_about(places: Tensor, half: tuple[int, int], size: tuple[int, int], clip: bool = True) -> Tensor:
    """Return the boxes of ±half about places.

    Args:
        places: (..., 2) x, y.
        half: half the width and half the height, pixels.
        size: height and width of the image.
        clip: whether boxes end at the border of the image.

    Returns:
        (..., 4) x0, y0, x1, y1, of the type of places.

    Example:
        >>> boxes_about(torch.tensor([[10, 100]]), (36, 36), (224, 224))
        tensor([[  0,  64,  46, 136]])
    """
    reach = torch.tensor(half, dtype=places.dtype, device=places.device)
    low, high = places - reach, places + reach
    if clip:
        end = torch.tensor([size[1], size[0]], dtype=places.dtype, device=places.device)
        low, high = low.clamp_min(0), torch.minimum(high, end)
    return torch.cat([low, high], dim=-1)


def scaled_half(pixels: float, size: tuple[int, int]) -> tuple[int, int]:
    """Return half the width and height of a box given for images of 224 pixels, for images of another size.

    Example:
        >>> scaled_half(36, (224, 112))
        (18, 36)
    """
    height, width = size
    return max(1, round(pixels * width / PAPER_SIDE)), max(1, round(pixels * height / PAPER_SIDE))


def part_hits(boxes: Tensor, regions: Regions) -> Hits:
    """Return which parts of its image each box holds; coordinates of points are cut to whole pixels.

    Args:
        boxes: (B, ..., 4) x0, y0, x1, y1, borders included.
        regions: points, or boxes whose centres are taken, of the B images.

    Returns:
        hits (B, ..., T), visible (B, T).

    Example:
        >>> regions = Regions((224, 224), points=torch.tensor([[[46.7, 64.0], [47.0, 64.0]]]))
        >>> part_hits(torch.tensor([[[0, 64, 46, 136]]]), regions).hits.tolist()
        [[[True, False]]]
    """
    points = regions.as_points().trunc()
    shown = regions.shown
    while points.dim() < boxes.dim() + 1:
        points, shown = points[:, None], shown[:, None]
    inside = points_inside(boxes[..., None, :], points) & shown
    count = regions.num_parts
    return Hits(merge_columns(inside, regions.part_of, count), regions.visible_parts())


def points_inside(boxes: Tensor, points: Tensor) -> Tensor:
    """Return whether points (..., 2) lie in boxes (..., 4), borders included: (...)."""
    return ((points >= boxes[..., :2]) & (points <= boxes[..., 2:])).all(dim=-1)


def box_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the intersection over union of boxes (..., 4): (...), float64; 0 where both are empty.

    Example:
        >>> box_iou(torch.tensor([0, 0, 72, 72]), torch.tensor([36, 0, 108, 72]))
        tensor(0.3333, dtype=torch.float64)
    """
    first, second = first.double(), second.double()
    low, high = torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:])
    common = (high - low).clamp_min(0).prod(dim=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).clamp_min(0).prod(dim=-1) for boxes in (first, second)]
    union = areas[0] + areas[1] - common
    return torch.where(union > 0, common / union.clamp_min(1e-300), 0.0)


def constant(maps: Tensor) -> Tensor:
    """Return whether maps (..., h, w) have no maximum that stands out: all values equal, or one is not finite."""
    flat = maps.flatten(-2)
    return (flat.amax(dim=-1) == flat.amin(dim=-1)) | ~flat.isfinite().all(dim=-1)
