"""Similarity maps as colour over an image.

The papers lay JET at 0.3 over the image at 0.5, which darkens the image everywhere and whose hues rise and
fall in brightness where the map does not. The default here is inferno, whose brightness rises evenly with the
map, at an opacity that rises with it too: the image stays legible, the most similar place is the brightest.
``paper=True`` gives the papers' picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

from resemblance.data.images import Pixels

OPACITY = (0.35, 0.6)  # at the least and at the most similar place


def rescaled(heat: NDArray[np.float32]) -> NDArray[np.float32]:
    """A map (H, W) minus its minimum, divided by its range; zeros where it is flat or not finite.

    As in the papers: colours compare places within one map, never two maps.

    Example:
        >>> rescaled(np.array([[1.0, 2.0], [3.0, 5.0]], dtype=np.float32)).tolist()
        [[0.0, 0.25], [0.5, 1.0]]
    """
    low, high = float(heat.min()), float(heat.max())
    if not np.isfinite(high - low) or high <= low:
        return np.zeros_like(heat)
    return np.asarray((heat - low) / (high - low), dtype=np.float32)


def heat_layer(heat: NDArray[np.float32]) -> Pixels:
    """A transparent layer of colour for a map: (H, W) → (H, W, 4) uint8.

    Example:
        >>> layer = heat_layer(np.array([[0.0, 1.0]], dtype=np.float32))
        >>> layer[0, :, 3].tolist()
        [89, 153]
    """
    strength = rescaled(heat)
    layer: NDArray[Any] = colormaps["inferno"](strength)
    layer[..., 3] = OPACITY[0] + (OPACITY[1] - OPACITY[0]) * strength
    return (layer * 255).round().astype(np.uint8)


def overlay(image: Pixels, heat: NDArray[np.float32], paper: bool = False) -> Pixels:
    """An image (H, W, 3) with its map (H, W) laid over it.

    Args:
        image: uint8.
        heat: of the same height and width.
        paper: 0.5 · image + 0.3 · JET, as Chen et al. 2019 do.

    Example:
        >>> overlay(np.zeros((2, 4, 3), np.uint8), np.eye(2, 4, dtype=np.float32)).shape
        (2, 4, 3)
    """
    if paper:
        jet = colormaps["jet"](rescaled(heat))[..., :3]
        return (0.5 * image + 0.3 * 255 * jet).round().astype(np.uint8)
    layer = heat_layer(heat).astype(np.float32)
    alpha = layer[..., 3:] / 255
    return (image * (1 - alpha) + layer[..., :3] * alpha).round().astype(np.uint8)
