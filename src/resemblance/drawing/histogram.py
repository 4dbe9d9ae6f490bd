"""Histograms of one number per image, with a line at a value to compare with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from resemblance.drawing.style import AGAINST, FAINT, FOR, INK, MUTED, inches, new_figure, place, write

BINS = 30
PANEL, HIGH, MARGIN = 4.6, 2.3, 0.3  # inches


def histogram(values: Sequence[float], label: str, line: float | None = None, line_label: str = "") -> Figure:
    """Draw a histogram; bars beyond the line are blue, those before it red.

    Args:
        values: finite numbers.
        label: the name of the horizontal axis.
        line: a value that is marked; None for none.
        line_label: what it is, written above the axes.

    Example:
        >>> figure = histogram([0.1, 0.2, 0.2], "radius", 0.15, "a step")
        >>> len(figure.axes), [text.get_text() for text in figure.texts]
        (1, ['a step'])
    """
    width = max(MARGIN + PANEL + 0.7, 2 * MARGIN + inches(line_label, 8.5))
    figure = new_figure(width, HIGH + 1.1)
    if line is not None:
        write(figure, MARGIN, 0.12, line_label, fontsize=8.5, color=INK)
    axes = place(figure, MARGIN + 0.4, 0.45, PANEL, HIGH)
    numbers = np.asarray(values, dtype=float)
    top = max(float(numbers.max(initial=0)), 1.1 * (line or 0.0)) or 1.0
    edges = np.linspace(0, 1.02 * top, BINS + 1)
    counts, _ = np.histogram(numbers, edges)
    centres = (edges[:-1] + edges[1:]) / 2
    colours = [FOR if line is None or centre >= line else AGAINST for centre in centres]
    axes.bar(centres, counts, width=0.92 * (edges[1] - edges[0]), color=colours)
    if line is not None:
        axes.axvline(line, color=INK, linewidth=1.2, linestyle=(0, (4, 2)))
    axes.set_xlim(0, edges[-1])
    axes.set_xlabel(label, fontsize=8.5, color=INK, parse_math=False)
    axes.set_ylabel("images", fontsize=8.5, color=INK)
    axes.tick_params(labelsize=8, color=MUTED, labelcolor=INK)
    axes.grid(axis="y", color=FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure
