"""Show a part of an image in its surroundings: a frame a few times as wide, dimmed outside of the part.

A part of a few pixels, enlarged, is a grey square. In its surroundings a reader sees what it is a part of.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from resemblance.data.images import Pixels
from resemblance.prototypes.gallery import Box

WIDER, CLOSER = 2.5, 1.25  # the frame of a small and of a large part, relative to the part's longest side
# The frame at least, and that of a small part at most, relative to the image's shorter side.
LEAST, MOST = 1 / 3, 0.6
VEIL, DIM = 128, 0.6  # grey over what lies outside: visible on black and on white


def frame_side(boxes: Sequence[Box], size: tuple[int, int]) -> int:
    """Return the side of a square frame for parts of images of one size, so that all have the same scale.

    Args:
        boxes: the parts.
        size: height and width of the images.

    Example:
        >>> frame_side([(0, 0, 8, 8), (4, 4, 24, 12)], (64, 96)), frame_side([(0, 0, 4, 4)], (32, 32))
        (38, 11)
    """
    longest = max((max(x1 - x0, y1 - y0) for x0, y0, x1, y1 in boxes), default=0)
    short = min(size)
    return round(min(max(min(WIDER * longest, MOST * short), CLOSER * longest, LEAST * short), short))


def surroundings(box: Box, size: tuple[int, int], side: int | None = None) -> Box:
    """Return the square frame around a part, as far in its middle as the edges of the image permit.

    A part that is longer than the image is wide has a frame as long as the part.

    Args:
        box: the part.
        size: height and width of the image.
        side: of the frame; by default that of `frame_side`.

    Example:
        >>> surroundings((8, 0, 12, 4), (32, 32)), surroundings((0, 0, 64, 10), (32, 64))
        ((4, 0, 15, 11), (0, 0, 64, 32))
    """
    x0, y0, x1, y1 = box
    side = frame_side([box], size) if side is None else side
    left, right = _around(x0, x1, side, size[1])
    top, bottom = _around(y0, y1, side, size[0])
    return left, top, right, bottom


def _around(start: int, stop: int, side: int, length: int) -> tuple[int, int]:
    side = min(max(side, stop - start), length)
    first = min(max((start + stop - side) // 2, 0), length - side)
    return first, first + side


def inside(box: Box, frame: Box) -> Box:
    """Return a box in the coordinates of a frame, cut off at its edges.

    Example:
        >>> inside((8, 0, 12, 4), (4, 0, 10, 11))
        (4, 0, 6, 4)
    """
    left, top, right, bottom = frame
    x0, y0, x1, y1 = box
    return max(x0, left) - left, max(y0, top) - top, min(x1, right) - left, min(y1, bottom) - top


def cut_out(image: Pixels, box: Box) -> Pixels:
    """Return the pixels (h, w, C) of a box in an image (H, W, C)."""
    x0, y0, x1, y1 = box
    return image[y0:y1, x0:x1]


def dimmed(image: Pixels, box: Box) -> Pixels:
    """Draw a grey veil over an image (H, W, C), except over a box.

    Example:
        >>> dimmed(np.full((1, 2, 3), 255, np.uint8), (0, 0, 1, 1))[0, :, 0].tolist()
        [255, 179]
    """
    veiled = (image * (1 - DIM) + VEIL * DIM).round().astype(np.uint8)
    x0, y0, x1, y1 = box
    veiled[y0:y1, x0:x1] = image[y0:y1, x0:x1]
    return veiled


def close_up(image: Pixels, box: Box, side: int | None = None) -> tuple[Pixels, Box]:
    """Return the frame around a part of an image, dimmed outside of the part, and the part within the frame.

    Args:
        image: (H, W, C) uint8.
        box: the part.
        side: of the frame; by default that of `frame_side`.

    Example:
        >>> pixels, part = close_up(np.zeros((32, 32, 3), np.uint8), (8, 8, 12, 12))
        >>> pixels.shape, part
        ((11, 11, 3), (4, 4, 8, 8))
    """
    frame = surroundings(box, (image.shape[0], image.shape[1]), side)
    part = inside(box, frame)
    return dimmed(cut_out(image, frame), part), part
