"""Paired bars: the largest values of one version of an image, and the same items' values on another version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from resemblance.drawing.line_chart import SERIES
from resemblance.drawing.style import FAINT, INK, MUTED, inches, new_figure, place, plain, write

STRONGEST = 75  # as in Hoffmann et al. 2021
MARGIN, PANEL, HIGH, GAP = 0.3, 4.0, 1.7, 0.65  # inches
COLOURS = (SERIES[0], SERIES[4])
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class PairedValues:
    """The values of the same items on two versions of an image.

    Args:
        label: what both belong to, for instance a run.
        first: (P,) the values on the first version.
        second: (P,) the values on the second version.
    """

    label: str
    first: Floats
    second: Floats


def strongest(values: Floats, count: int) -> NDArray[np.int64]:
    """Return the items of the largest values (P,), the largest first; of equal ones the one with the lower index.

    Example:
        >>> strongest(np.array([1.0, 3.0, 2.0, 3.0]), 3).tolist()
        [1, 3, 2]
    """
    return np.argsort(-values, kind="stable")[:count]


def paired_bars(
    rows: Sequence[PairedValues],
    versions: tuple[str, str],
    items: str = "prototypes",
    count: int = STRONGEST,
    note: str = "",
) -> Figure:
    """Draw the largest values of each version beside those of the same items on the other version.

    Each row has two panels: at the left the items with the largest values on the first version, at the right those
    with the largest values on the second. If the reasons are the same, both colours fall together from left to right.
    Source: Hoffmann et al. 2021, appendix D.2, figures 10 to 15.

    Args:
        rows: one row for each run, for instance without and with a remedy.
        versions: the names of the first and of the second version.
        items: the name of the items, in the plural.
        count: the largest number of items per panel.
        note: a line below.

    Example:
        >>> rows = [PairedValues("protopnet-0", np.array([3.0, 1.0, 2.0]), np.array([1.0, 3.0, 2.5]))]
        >>> figure = paired_bars(rows, ("unchanged", "JPEG"))
        >>> [len(axes.patches) for axes in figure.axes[2:]]  # after the legend
        [6, 6]
    """
    step = PANEL + GAP
    left = MARGIN + 0.55
    top, height = MARGIN + 0.35, HIGH + 0.75
    bottom = top + len(rows) * height
    figure = new_figure(max(left + 2 * step, 2 * MARGIN + inches(note, 8)), bottom + (0.3 if note else 0.0))
    _legend(figure, left, versions)
    for number, row in enumerate(rows):
        y = top + number * height
        write(figure, left, y, plain(row.label, 60), fontsize=8.5, color=MUTED)
        low = min(0.0, float(np.nanmin(row.first)), float(np.nanmin(row.second)))
        high = max(0.0, float(np.nanmax(row.first)), float(np.nanmax(row.second)))
        for side, (leading, other) in enumerate(((row.first, row.second), (row.second, row.first))):
            axes = place(figure, left + side * step, y + 0.22, PANEL, HIGH)
            chosen = strongest(leading, count)
            _panel(axes, leading[chosen], other[chosen], (COLOURS[side], COLOURS[1 - side]))
            axes.set_ylim(low, low + 1.04 * (high - low) if high > low else low + 1)
            axes.set_xlabel(
                f"{len(chosen)} {items}, most similar to {versions[side]} first", fontsize=8, color=INK,
                parse_math=False,
            )  # fmt: skip
            if side == 0:
                axes.set_ylabel("similarity", fontsize=8, color=INK)
    if note:
        write(figure, MARGIN, bottom, note, fontsize=8, color=MUTED)
    return figure


def _legend(figure: Figure, left: float, versions: tuple[str, str]) -> None:
    for name, colour in zip(versions, COLOURS, strict=True):
        sample = place(figure, left, MARGIN + 0.02, 0.14, 0.14)
        sample.set_axis_off()
        sample.bar([0.5], [1.0], 1.0, color=colour)
        sample.set_xlim(0, 1)
        sample.set_ylim(0, 1)
        write(figure, left + 0.2, MARGIN, plain(name), fontsize=8.5)
        left += 0.5 + inches(plain(name), 8.5)


def _panel(axes: Axes, leading: Floats, other: Floats, colours: tuple[str, str]) -> None:
    """Draw wide bars of the version that orders them, and narrow ones of the other version before them."""
    places = np.arange(len(leading))
    axes.bar(places, leading, 0.92, color=colours[0], alpha=0.55)
    axes.bar(places, other, 0.4, color=colours[1])
    axes.set_xlim(-0.7, len(leading) - 0.3)
    axes.set_xticks([])
    axes.tick_params(labelsize=7.5, color=MUTED, labelcolor=INK)
    axes.grid(axis="y", color=FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED)
