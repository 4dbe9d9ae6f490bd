"""Draw how classes share prototypes: prototypes by the number of their classes, and by pairs of classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from resemblance.drawing.cut import largest
from resemblance.drawing.matrix import Cells, matrix_figure
from resemblance.drawing.style import FOR, INK, MUTED, new_figure

CLASSES = 40  # the largest number of classes in the matrix


def shared(owners: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count the prototypes that each pair of classes shares, (C, C); 0 on the diagonal.

    Example:
        >>> shared(np.array([[1, 1, 0], [1, 1, 0], [0, 1, 1]], dtype=bool)).tolist()
        [[0, 2, 0], [2, 0, 1], [0, 1, 0]]
    """
    together = owners.T.astype(np.int64) @ owners.astype(np.int64)
    np.fill_diagonal(together, 0)
    return together


def sharing_figure(owners: NDArray[np.bool_]) -> Figure:
    """Draw how many prototypes have one class, two classes, and so on; owners (P, C)."""
    counts = np.bincount(owners.sum(axis=1), minlength=2)[1:]
    numbers = np.arange(1, len(counts) + 1)
    figure = new_figure(min(max(4.2, 0.5 * len(counts) + 1.6), 9.0), 3.0)
    axes = figure.add_axes((0.14, 0.19, 0.82, 0.74))
    axes.bar(numbers, counts, color=FOR, width=0.7)
    if len(counts) <= 20:
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            axes.text(number, count, str(count), ha="center", va="bottom", fontsize=8, color=INK)
    axes.set_ylim(0, max(counts.max(), 1) * 1.14)
    axes.set_xlabel("classes of a prototype", fontsize=9, color=INK)
    axes.set_ylabel("prototypes", fontsize=9, color=INK)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(labelsize=8, colors=MUTED)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def pairs_figure(owners: NDArray[np.bool_], classes: Sequence[str]) -> Figure:
    """Draw how many prototypes each pair of classes shares, from owners (P, C); at most the 40 that share most."""
    together = shared(owners)
    shown = largest(together.sum(axis=1), CLASSES)
    part = together[np.ix_(shown, shown)]
    note = "Numbers: prototypes that both classes own."
    if len(shown) < len(classes):
        note = f"The {len(shown)} classes that share most, of {len(classes)}. {note}"
    cells = Cells(colormaps["Blues"], 0, max(int(part.max(initial=0)), 1), decimals=0)
    names = [classes[c] for c in shown]
    return matrix_figure(np.where(part, part, np.nan), names, names, cells, note=note, bar=False)
