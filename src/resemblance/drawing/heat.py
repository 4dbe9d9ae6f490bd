"""Draw maps as colours over an image.

The papers add JET at 0.3 to the image at 0.5, which darkens the whole image, and the brightness of JET's colours does
not increase evenly with the map. The default here is inferno, whose brightness does, with an opacity that never
reaches one half: the image stays visible everywhere, and the most similar place is the brightest. ``paper=True`` draws
the papers' picture. Signed maps have a diverging scale.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from resemblance.data.images import Pixels
from resemblance.drawing.style import AGAINST, FOR, SMALL

Limits = tuple[float, float]
OPACITY = (0.25, 0.45)  # at the least and the most similar place
VEIL = 0.5  # grey, where a signed map is zero
SIGNED_OPACITY = (0.45, 0.85)  # at zero and at its largest magnitude
STRONG = 99.5  # per cent; a few pixels of photographs have far more relevance than all others
SMOOTHED = 1 / 112  # standard deviation, relative to the longer side of signed maps of photographs


def rescaled(heat: NDArray[np.float32], limits: Limits | None = None) -> NDArray[np.float32]:
    """Scale a map (H, W) to [0, 1] by its own minimum and range; zeros if it is constant or not finite.

    As in the papers, colours compare places within one map, not different maps; unless both have the same limits.

    Args:
        heat: the map.
        limits: the values that become 0 and 1, with smaller and larger ones cut off; by default the map's own.

    Example:
        >>> heat = np.array([[1.0, 2.0], [3.0, 5.0]], dtype=np.float32)
        >>> rescaled(heat).tolist(), rescaled(heat, limits=(1.0, 3.0)).tolist()
        ([[0.0, 0.25], [0.5, 1.0]], [[0.0, 0.5], [1.0, 1.0]])
    """
    low, high = (float(heat.min()), float(heat.max())) if limits is None else limits
    if not np.isfinite(high - low) or high <= low:
        return np.zeros_like(heat)
    return np.asarray(((heat - low) / (high - low)).clip(0, 1), dtype=np.float32)


def balanced(relevance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale a signed map (H, W) to [−1, 1]; zeros if it is zero everywhere or not finite.

    The magnitude that becomes 1 is exceeded by at most one pixel in two hundred, so that a few pixels with far more
    relevance than all others do not make these invisible.

    Example:
        >>> balanced(np.array([[1.0, -4.0], [0.0, 2.0]], dtype=np.float32)).tolist()
        [[0.25, -1.0], [0.0, 0.5]]
    """
    sizes = np.abs(relevance)
    largest = float(sizes.max(initial=0.0))
    if not np.isfinite(largest) or largest == 0:
        return np.zeros_like(relevance)
    strong = float(np.percentile(sizes, STRONG, method="higher")) or largest
    return np.asarray((relevance / strong).clip(-1, 1), dtype=np.float32)


def smoothed(relevance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Smooth a signed map (H, W) for drawing, where pixels are too small to be seen one by one.

    Single pixels of photographs differ much from their neighbours, and small pictures of them show little but noise.
    """
    longer = max(relevance.shape)
    if longer <= SMALL or not np.isfinite(relevance).all():
        return relevance
    return np.asarray(gaussian_filter(relevance, SMOOTHED * longer), dtype=np.float32)


def signed_layer(relevance: NDArray[np.float32]) -> Pixels:
    """Return a transparent colour layer for a signed map: (H, W) → (H, W, 4) uint8.

    Positive relevance is blue, negative is red, as contributions are in all figures; a grey veil lies over the rest, so
    that both colours are visible on black and on white.

    Example:
        >>> signed_layer(np.array([[0.0, 1.0]], dtype=np.float32))[0].tolist()
        [[128, 128, 128, 115], [31, 111, 178, 217]]
    """
    value = balanced(smoothed(relevance))[..., None]
    strength = np.abs(value) ** 0.5  # lifts weak relevance; the order of pixels stays
    colour = np.where(value >= 0, to_rgb(FOR), to_rgb(AGAINST))
    layer = np.concatenate([VEIL + (colour - VEIL) * strength, np.zeros_like(value)], axis=2)
    layer[..., 3:] = SIGNED_OPACITY[0] + (SIGNED_OPACITY[1] - SIGNED_OPACITY[0]) * strength
    return (layer * 255).round().astype(np.uint8)


def heat_layer(heat: NDArray[np.float32], limits: Limits | None = None) -> Pixels:
    """Return a transparent colour layer for a map: (H, W) → (H, W, 4) uint8; see `rescaled` for the limits.

    Example:
        >>> layer = heat_layer(np.array([[0.0, 1.0]], dtype=np.float32))
        >>> layer[0, :, 3].tolist()
        [64, 115]
    """
    strength = rescaled(heat, limits)
    layer: NDArray[Any] = colormaps["inferno"](strength)
    layer[..., 3] = OPACITY[0] + (OPACITY[1] - OPACITY[0]) * strength
    return (layer * 255).round().astype(np.uint8)


def scale_picture(signed: bool = False, paper: bool = False, steps: int = 64) -> Pixels:
    """Return the colours of a map from its least to its largest value, (1, steps, 3) uint8, as they look over grey.

    Args:
        signed: for maps with a sign, from negative to positive.
        paper: the papers' colours.
        steps: the number of colours.

    Example:
        >>> scale_picture(steps=3)[0, :, 0].tolist()
        [96, 149, 184]
    """
    grey = np.full((1, steps, 3), 128, np.uint8)
    if signed:
        return overlay(grey, np.linspace(-1, 1, steps, dtype=np.float32)[None], signed=True)
    return overlay(grey, np.linspace(0, 1, steps, dtype=np.float32)[None], paper=paper)


def overlay(
    image: Pixels,
    heat: NDArray[np.float32],
    paper: bool = False,
    signed: bool = False,
    limits: Limits | None = None,
) -> Pixels:
    """Draw a map (H, W) over its image (H, W, 3).

    Args:
        image: uint8.
        heat: of the same height and width.
        paper: draw 0.5 · image + 0.3 · JET, as in Chen et al. 2019.
        signed: the map has a sign, and zero a meaning; see `signed_layer`. ``paper`` then has no effect.
        limits: the values of the darkest and the brightest colour, so that two maps can be compared; by default the
            map's own. Without effect if the map has a sign.

    Example:
        >>> overlay(np.zeros((2, 4, 3), np.uint8), np.eye(2, 4, dtype=np.float32)).shape
        (2, 4, 3)
    """
    if paper and not signed:
        jet = colormaps["jet"](rescaled(heat, limits))[..., :3]
        return (0.5 * image + 0.3 * 255 * jet).round().astype(np.uint8)
    layer = (signed_layer(heat) if signed else heat_layer(heat, limits)).astype(np.float32)
    alpha = layer[..., 3:] / 255
    return (image * (1 - alpha) + layer[..., :3] * alpha).round().astype(np.uint8)
