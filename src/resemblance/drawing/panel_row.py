"""Draw a row of pictures with words above and below each, as before and after a change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from resemblance.data.images import Pixels
from resemblance.drawing.sheet import picture
from resemblance.drawing.sheet import sheet as new_sheet
from resemblance.drawing.sheet import text as write_text
from resemblance.drawing.style import INK, MUTED, wrap
from resemblance.prototypes.gallery import Box

SIDE, GAP, MARGIN = 1.35, 0.28, 0.2  # inches
LINE = 0.165
ARROW = "→"


@dataclass(frozen=True)
class Panel:
    """A picture of a row.

    Args:
        picture: (H, W, C) uint8; None for an empty frame.
        above: a heading.
        below: what is to be read off it.
        frame: the colour of its frame.
        box: a part of the picture to mark.
        begins: whether an arrow leads to it from the panel before.
    """

    picture: Pixels | None
    above: str = ""
    below: str = ""
    frame: str | None = None
    box: Box | None = None
    begins: bool = False


def panel_row(panels: Sequence[Panel]) -> Figure:
    """Draw panels side by side; all pictures are equally large.

    Example:
        >>> import numpy as np
        >>> figure = panel_row([Panel(np.zeros((8, 8, 3), np.uint8), "before"), Panel(None, "after", "nothing")])
        >>> len(figure.axes)
        1
    """
    above = [wrap(panel.above, SIDE + GAP / 2, 8.5) if panel.above else [] for panel in panels]
    below = [wrap(panel.below, SIDE + GAP / 2, 7.5) if panel.below else [] for panel in panels]
    head = LINE * max((len(lines) for lines in above), default=0)
    foot = LINE * max((len(lines) for lines in below), default=0)
    width = 2 * MARGIN + len(panels) * SIDE + (len(panels) - 1) * GAP
    figure, axes = new_sheet(width, MARGIN + head + SIDE + foot + MARGIN, unit=1.0)
    top = MARGIN / 2 + head + 0.05
    for number, (panel, over, under) in enumerate(zip(panels, above, below, strict=True)):
        left = MARGIN + number * (SIDE + GAP)
        middle = left + SIDE / 2
        for line, words in enumerate(over):
            write_text(axes, middle, top - 0.05 - LINE * (len(over) - line - 0.5), words, size=8.5, color=INK)
        picture(axes, panel.picture, left, top, SIDE, panel.frame, box=panel.box)
        for line, words in enumerate(under):
            write_text(axes, middle, top + SIDE + 0.05 + LINE * (line + 0.5), words, size=7.5, color=MUTED)
        if panel.begins:
            write_text(axes, left - GAP / 2, top + SIDE / 2, ARROW, size=14, color=INK)
    return figure
