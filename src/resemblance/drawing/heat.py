"""Draw similarity maps as colours over an image.

The papers add JET at 0.3 to the image at 0.5, which darkens the whole image, and the brightness of JET's colours does
not increase evenly with the map. The default here is inferno, whose brightness does, with an opacity that also
increases: the image stays visible, and the most similar place is the brightest. ``paper=True`` draws the papers'
picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

from resemblance.data.images import Pixels

OPACITY = (0.35, 0.6)  # at the least and the most similar place


def rescaled(heat: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale a map (H, W) to [0, 1] by its own minimum and range; zeros if it is constant or not finite.

    As in the papers, colours compare places within one map, not different maps.

    Example:
        >>> rescaled(np.array([[1.0, 2.0], [3.0, 5.0]], dtype=np.float32)).tolist()
        [[0.0, 0.25], [0.5, 1.0]]
    """
    low, high = float(heat.min()), float(heat.max())
    if not np.isfinite(high - low) or high <= low:
        return np.zeros_like(heat)
    return np.asarray((heat - low) / (high - low), dtype=np.float32)


def heat_layer(heat: NDArray[np.float32]) -> Pixels:
    """Return a transparent colour layer for a map: (H, W) → (H, W, 4) uint8.

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
    """Draw a map (H, W) over its image (H, W, 3).

    Args:
        image: uint8.
        heat: of the same height and width.
        paper: draw 0.5 · image + 0.3 · JET, as in Chen et al. 2019.

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
