"""Arrange the tokens of a transformer in the rows and columns of the image."""

from __future__ import annotations

from functools import lru_cache

from torch import Tensor


@lru_cache
def find_grid(tokens: int, size: tuple[int, int]) -> tuple[int, int] | None:
    """Return rows and columns of a grid of ``tokens`` cells in the shape of an image of ``size`` (H, W).

    Example:
        >>> find_grid(196, (224, 224)), find_grid(8, (32, 64)), find_grid(7, (32, 32))
        ((14, 14), (2, 4), None)
    """
    height, width = size
    for patch in range(max(height, width), 0, -1):
        if (height // patch) * (width // patch) == tokens:
            return height // patch, width // patch
    return None


@lru_cache
def find_prefix(tokens: int, size: tuple[int, int], limit: int = 16) -> int:
    """Return how many tokens precede those of the patches: the fewest that leave a grid.

    Raises:
        ValueError: if there is no such number up to ``limit``.

    Example:
        >>> find_prefix(197, (224, 224)), find_prefix(10, (48, 48))
        (1, 1)
    """
    for prefix in range(limit + 1):
        if tokens > prefix and find_grid(tokens - prefix, size) is not None:
            return prefix
    raise ValueError(f"{tokens} tokens fit no grid of patches of a {size[0]}x{size[1]} image")


def tokens_to_map(tokens: Tensor, size: tuple[int, int], prefix: int) -> Tensor:
    """Arrange tokens (B, prefix + h·w, D) as a map (B, D, h, w).

    Raises:
        ValueError: if they do not fit a grid in the shape of the image.
    """
    patches = tokens[:, prefix:]
    grid = find_grid(patches.shape[1], size)
    if grid is None:
        raise ValueError(f"{patches.shape[1]} tokens fit no grid of patches of a {size[0]}x{size[1]} image")
    return patches.transpose(1, 2).reshape(len(tokens), -1, *grid)
