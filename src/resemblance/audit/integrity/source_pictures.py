"""Stored pictures of prototypes beside the images that they should show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from resemblance.data.images import Pixels
from resemblance.drawing.sheet import picture, sheet, text
from resemblance.drawing.style import AGAINST, INK, MUTED, wrap
from resemblance.prototypes.gallery import Box, Picture

DECODERS = 2  # levels by which decoders of photographs differ
BLOCK = 8  # pixels, the side of a block of a JPEG file
COMPRESSED = 4.0  # levels by which the mean of a block may differ after another encoder
ROW, SIDE, WORDS, LINE = 1.65, 1.5, 3.4, 0.18  # inches


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
        title: its name.
        stored: the stored picture; None if there is none.
        stored_box: the stored place in it.
        true: the training image; None if there is none.
        true_box: a place in it.
        says: sentences about it.
        failed: whether something is wrong.
    """

    title: str
    stored: Pixels | None
    stored_box: Box | None
    true: Pixels | None
    true_box: Box | None
    says: Sequence[str] = ()
    failed: bool = False


def source_figure(
    rows: Sequence[Shown], left: str = "stored picture", right: str = "training image"
) -> Figure:
    """Draw stored pictures beside the training images, one row per prototype."""
    start, height = 2 * SIDE + 0.65, len(rows) * ROW + 0.4
    figure, axes = sheet(start + WORDS, height, unit=1.0)
    text(axes, 0.15 + SIDE / 2, 0.2, left, size=9, color=MUTED)
    text(axes, 0.4 + 1.5 * SIDE, 0.2, right, size=9, color=MUTED)
    for number, row in enumerate(rows):
        top = 0.4 + number * ROW
        picture(axes, row.stored, 0.15, top, SIDE, AGAINST if row.failed else None, box=row.stored_box)
        picture(axes, row.true, 0.4 + SIDE, top, SIDE, box=row.true_box)
        lines = [(line, INK) for line in wrap(row.title, WORDS, 9)]
        color = AGAINST if row.failed else MUTED
        lines += [(line, color) for words in row.says for line in wrap(words, WORDS, 9)]
        middle = top + SIDE / 2 - LINE * (len(lines) - 1) / 2
        for line, (words, color) in enumerate(lines):
            text(axes, start, middle + LINE * line, words, ha="left", color=color)
    return figure
