"""Stored pictures of prototypes beside the images that they should show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from resemblance.data.images import Pixels
from resemblance.drawing.sheet import picture, sheet, text
from resemblance.drawing.style import AGAINST, MUTED, inches
from resemblance.prototypes.gallery import Box, Picture

DECODERS = 2  # levels by which decoders of photographs differ
BLOCK = 8  # pixels, the side of a block of a JPEG file
COMPRESSED = 4.0  # levels by which the mean of a block may differ after another encoder
ROW, SIDE = 2.3, 2.0


def same_picture(stored: Picture, image: Pixels) -> bool:
    """Check whether a stored picture shows an image.

    A PNG file must have the same pixels, up to two levels, by which decoders of photographs differ. For a JPEG file the
    image is encoded in the same way, and then no block of 8×8 pixels may differ by more than four levels in the mean,
    which other encoders may leave.

    Args:
        stored: the stored picture.
        image: (H, W, 1 or 3) uint8, at the model's size.

    Example:
        >>> black, white = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)
        >>> same_picture(Picture.from_pixels(black), black), same_picture(Picture.from_pixels(black), white)
        (True, False)
    """
    expected, shown = Picture.from_pixels(image), stored.pixels().astype(np.int64)
    if expected.suffix != stored.suffix or expected.pixels().shape != shown.shape:
        return False
    differences = np.abs(shown - expected.pixels())
    if stored.suffix == ".png":
        return bool(differences.max(initial=0) <= DECODERS)
    height, width = differences.shape[:2]
    rows, columns = np.arange(0, height, BLOCK), np.arange(0, width, BLOCK)
    sums = np.add.reduceat(np.add.reduceat(differences.mean(axis=2), rows, axis=0), columns, axis=1)
    counts = np.diff([*rows, height])[:, None] * np.diff([*columns, width])
    return bool((sums / counts).max() <= COMPRESSED)


@dataclass(frozen=True)
class Shown:
    """A row of the figure: a prototype, what is stored of it, and what it should be.

    Args:
        label: its name and what is wrong, in lines.
        stored: the stored picture; None if there is none.
        stored_box: the stored place in it.
        true: the training image; None if there is none.
        failed: whether something is wrong.
        true_box: a place in it.
    """

    label: str
    stored: Pixels | None
    stored_box: Box | None
    true: Pixels | None
    failed: bool = False
    true_box: Box | None = None


def source_figure(
    rows: Sequence[Shown], left: str = "stored picture", right: str = "training image"
) -> Figure:
    """Draw stored pictures beside the training images, one row per prototype."""
    words = max((inches(line, 8.5) for row in rows for line in row.label.split("\n")), default=0.0)
    start = 2 * SIDE + 1.0
    figure, axes = sheet(start + words / 0.62 + 0.4, len(rows) * ROW + 0.6)
    text(axes, 0.2 + SIDE / 2, 0.3, left, size=8, color=MUTED)
    text(axes, 0.5 + 1.5 * SIDE, 0.3, right, size=8, color=MUTED)
    for number, row in enumerate(rows):
        top = 0.6 + number * ROW
        frame = AGAINST if row.failed else None
        picture(axes, row.stored, 0.2, top, SIDE, frame, box=row.stored_box)
        picture(axes, row.true, 0.5 + SIDE, top, SIDE, box=row.true_box)
        text(axes, start, top + SIDE / 2, row.label, ha="left", size=8.5)
    return figure
