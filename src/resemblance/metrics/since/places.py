"""Places that know nothing about the image: the cells of a grid, the centre, and random ones."""

from __future__ import annotations

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
