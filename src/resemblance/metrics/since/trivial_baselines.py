"""What explanations that know nothing mark, and what they score; pure functions."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


def cell_places(grid: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Return the centres of the cells of a grid that is laid over the image.

    Args:
        grid: rows and columns of the map.
        size: height and width of the image.

    Returns:
        (rows × columns, 2) int64, x and y, row by row.

    Example:
        >>> cell_places((7, 7), (224, 224))[24].tolist()
        [112, 112]
    """
    y, x = (
        (2 * torch.arange(count) + 1) * side // (2 * count) for count, side in zip(grid, size, strict=True)
    )
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 2)


def random_places(shape: tuple[int, ...], size: tuple[int, int], seed: int) -> Tensor:
    """Return uniformly random pixels (..., 2) int64, x and y.

    Example:
        >>> random_places((2, 3), (8, 16), seed=0).shape
        torch.Size([2, 3, 2])
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(size[1], shape, generator=generator)
    y = torch.randint(size[0], shape, generator=generator)
    return torch.stack([x, y], dim=-1)


class PlaceScores(NamedTuple):
    """Shares of images whose region holds a place; NaN without images.

    Args:
        best: for the constant place that most regions hold, chosen on the same images.
        centre: for the centre of the image.
        random: for a random place: the mean share of the image that regions cover.
    """

    best: float
    centre: float
    random: float


def place_scores(covered: Tensor, images: Tensor) -> PlaceScores:
    """Return the scores of constant and random places.

    Args:
        covered: (H, W) number of images whose region covers each pixel.
        images: the number of images.

    Example:
        >>> place_scores(torch.tensor([[0.0, 2.0], [0.0, 1.0]]), torch.tensor(2))
        PlaceScores(best=1.0, centre=0.5, random=0.375)
    """
    if not int(images):
        return PlaceScores(torch.nan, torch.nan, torch.nan)
    shares = covered.double() / images.double()
    height, width = shares.shape
    return PlaceScores(float(shares.max()), float(shares[height // 2, width // 2]), float(shares.mean()))


def mask_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the intersection over union of masks (..., H, W) bool: (...) float64; NaN where both are empty.

    Example:
        >>> mask_iou(torch.tensor([[True, True]]), torch.tensor([[True, False]]))
        tensor(0.5000, dtype=torch.float64)
    """
    common = (first & second).flatten(-2).sum(dim=-1).double()
    return common / (first | second).flatten(-2).sum(dim=-1).double()


def shifted_iou(marked: Tensor, regions: Tensor) -> Tensor:
    """Return the mean intersection over union over all shifts of marked pixels around the image, exactly.

    A marked area of the same size and shape at a random place; what leaves the image on one side comes back on the
    other.

    Args:
        marked: (B, H, W) bool.
        regions: (B, H, W) bool.

    Returns:
        (B,) float64; NaN where both are empty.

    Example:
        >>> marked, region = torch.eye(2)[None, :1, :] > 0, torch.eye(2)[None, :1, :] > 0
        >>> shifted_iou(marked, region)
        tensor([0.5000], dtype=torch.float64)
    """
    size = marked.shape[-2:]
    spectrum = torch.fft.rfft2(marked.double()).conj() * torch.fft.rfft2(regions.double())
    common = torch.fft.irfft2(spectrum, s=size).round().flatten(1)  # counts of pixels
    areas = marked.flatten(1).sum(dim=1) + regions.flatten(1).sum(dim=1)
    overlaps: Tensor = common / (areas[:, None].double() - common)
    return overlaps.mean(dim=1)


def centred_squares(areas: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the ``areas`` (B,) pixels nearest to the centre, by the larger of both distances: (B, H, W) bool.

    Example:
        >>> centred_squares(torch.tensor([4]), (4, 4)).int()[0].tolist()
        [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    height, width = size
    y = (torch.arange(height, device=areas.device) + 0.5 - height / 2).abs()
    x = (torch.arange(width, device=areas.device) + 0.5 - width / 2).abs()
    order = torch.maximum(y[:, None], x).flatten().argsort(stable=True)
    ranks = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=areas.device))
    return (ranks < areas[:, None]).reshape(-1, height, width)
