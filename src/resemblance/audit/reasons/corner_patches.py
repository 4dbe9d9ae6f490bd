"""Patches in the corners of images, as a planted trigger could be."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

CORNERS = ("upper left", "upper right", "lower left", "lower right")
PATTERNS = ("noise", "checkerboard", "code", "mean colour")
SIDE, INSET, OF = 20, 5, 224  # pixels of an image of 224, as in Baniecki & Biecek 2025
MODULES = 7  # of the code, per side


def patch_place(size: tuple[int, int], corner: str) -> tuple[slice, slice]:
    """Return the rows and columns of the patch in a corner of an image of that height and width.

    A side is 20 pixels of 224, and at least 3; its distance from the edge is 5 of 224.

    Example:
        >>> patch_place((224, 224), "lower left"), patch_place((28, 28), "upper right")
        ((slice(199, 219, None), slice(5, 25, None)), (slice(1, 4, None), slice(24, 27, None)))
    """
    height, width = size
    side = min(max(3, round(SIDE * min(size) / OF)), *size)
    inset = min(round(INSET * min(size) / OF), (min(size) - side) // 2)
    top = inset if corner.startswith("upper") else height - inset - side
    left = inset if corner.endswith("left") else width - inset - side
    return slice(top, top + side), slice(left, left + side)


def patch(pattern: str, side: int, channels: int, seed: int = 0) -> Tensor:
    """Return a patch (C, side, side) in [0, 1], the same for the same seed; not for ``mean colour``.

    Example:
        >>> patch("checkerboard", 3, 1)[0].tolist()
        [[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    """
    generator = np.random.default_rng([seed, PATTERNS.index(pattern)])
    if pattern == "noise":
        return torch.from_numpy(generator.random((channels, side, side))).float()
    if pattern == "checkerboard":
        rows, columns = np.indices((side, side)) * MODULES // max(side, MODULES)
        return torch.from_numpy((rows + columns) % 2).float().expand(channels, -1, -1)
    modules = torch.from_numpy(generator.integers(0, 2, (1, 1, MODULES, MODULES))).float()
    modules[..., :3, :3] = modules[..., :3, -3:] = modules[..., -3:, :3] = 0.0  # the finders of a QR code
    for row, column in ((1, 1), (1, -2), (-2, 1)):
        modules[..., row, column] = 1.0
    return F.interpolate(modules, size=(side, side))[0].expand(channels, -1, -1)


def with_patch(images: Tensor, pattern: str, corner: str, seed: int = 0) -> Tensor:
    """Return images (B, C, H, W) with a patch in a corner; ``mean colour`` is that of each image."""
    rows, columns = patch_place((images.shape[2], images.shape[3]), corner)
    changed = images.clone()
    if pattern == "mean colour":
        changed[:, :, rows, columns] = images.mean(dim=(2, 3), keepdim=True)
    else:
        changed[:, :, rows, columns] = patch(pattern, rows.stop - rows.start, images.shape[1], seed).to(
            images
        )
    return changed
