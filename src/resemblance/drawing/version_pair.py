"""Versions of an image beside each other, with the maps of one prototype in the same colours. Knows no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from resemblance.data.images import Pixels
from resemblance.drawing.heat import overlay
from resemblance.drawing.style import MUTED, inches, new_figure, plain, show, write

MARGIN, SIDE, GAP, LINE = 0.25, 1.75, 0.2, 0.17  # inches
SMALL_SIDE, COLUMNS = 1.3, 5


@dataclass(frozen=True)
class PairVersion:
    """One version of an image.

    Args:
        name: its name.
        picture: (H, W, 3) uint8.
        heat: (H, W) the map of the prototype; None if there is none.
        lines: what the model says about it.
    """

    name: str
    picture: Pixels
    heat: NDArray[np.float32] | None
    lines: Sequence[str]


def version_pair(
    title: str, subtitle: str, prototype: Pixels | None, versions: Sequence[PairVersion]
) -> Figure:
    """Draw a prototype, and versions of an image with its maps; all maps share the limits of the first one.

    Args:
        title: the name of the prototype.
        subtitle: a line below it.
        prototype: its picture; None if there is none.
        versions: one row of pictures for each.

    Example:
        >>> picture = np.zeros((8, 8, 3), np.uint8)
        >>> versions = [PairVersion(name, picture, None, ["similarity 2.0"]) for name in ("unchanged", "JPEG")]
        >>> [text.get_text() for text in version_pair("prototype 3", "of cat", None, versions).texts][:3]
        ['prototype 3', 'of cat', 'unchanged']
    """
    first = versions[0].heat
    limits = None if first is None else (float(first.min()), float(first.max()))
    words = max(
        (inches(line, 9) for version in versions for line in [version.name, *version.lines]), default=0.0
    )
    row = SIDE + GAP
    left = MARGIN + SIDE + 0.45
    pictures = 1 if first is None else 2
    text = left + pictures * (SIDE + GAP)
    top = MARGIN + (0.45 if subtitle else 0.25)
    figure = new_figure(text + words + MARGIN, top + len(versions) * row + 0.1)
    write(figure, MARGIN, MARGIN, plain(title, 26), fontsize=9)
    if subtitle:
        write(figure, MARGIN, MARGIN + 0.2, plain(subtitle, 26), fontsize=8, color=MUTED)
    show(figure, MARGIN, top, SIDE, prototype)
    for number, version in enumerate(versions):
        y = top + number * row
        show(figure, left, y, SIDE, version.picture)
        if version.heat is not None:
            heated = overlay(version.picture, version.heat, limits=limits)
            show(figure, left + SIDE + GAP, y, SIDE, heated, whole=version.picture)
        for line, words_of_line in enumerate([version.name, *version.lines]):
            style = {"fontweight": "bold"} if line == 0 else {}
            write(figure, text, y + 0.55 + line * 0.22, plain(words_of_line, 60), fontsize=9, **style)
    return figure


def version_sheet(pictures: Sequence[Pixels], captions: Sequence[Sequence[str]]) -> Figure:
    """Draw pictures in rows of five, with lines below each.

    Args:
        pictures: (H, W, 3) uint8.
        captions: the lines below each.

    Example:
        >>> figure = version_sheet([np.zeros((8, 8, 3), np.uint8)] * 6, [["unchanged"]] * 6)
        >>> len(figure.axes), len(figure.texts)
        (6, 6)
    """
    lines = max(map(len, captions))
    columns = min(COLUMNS, len(pictures))
    column, row = SMALL_SIDE + GAP, SMALL_SIDE + 0.1 + lines * LINE + GAP
    figure = new_figure(
        2 * MARGIN - GAP + columns * column, 2 * MARGIN - GAP + -(-len(pictures) // columns) * row
    )
    for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        x, y = MARGIN + number % columns * column, MARGIN + number // columns * row
        show(figure, x, y, SMALL_SIDE, picture)
        for line, words in enumerate(caption):
            text = plain(words, int(column / inches("a", 7.5)))
            write(figure, x, y + SMALL_SIDE + 0.06 + line * LINE, text, fontsize=7.5, color=MUTED)
    return figure
