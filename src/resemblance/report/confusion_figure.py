"""Draw the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from resemblance.drawing.style import INK, MUTED, new_figure, place, plain, write

NUMBERED = 25  # the largest number of classes for which cells show counts and rows show names


def confusion_figure(confusion: NDArray[Any], classes: Sequence[str], title: str = "") -> Figure:
    """Draw a confusion matrix; the colour is the share of the true class, the numbers count images.

    Args:
        confusion: (C, C) counts, one row per true class, one column per predicted class.
        classes: the names of the classes.
        title: the title above the figure.

    Example:
        >>> confusion_figure(np.array([[3, 1], [0, 4]]), ["cat", "dog"]).savefig("c.png")  # doctest: +SKIP
    """
    count = len(classes)
    numbered = count <= NUMBERED
    side = min(max(0.42 * count, 2.4), 8.0) if numbered else 7.0
    names = [plain(name, 24) for name in classes]
    left = 0.75 + (0.085 * max(map(len, names)) if numbered else 0.3)
    upright = numbered and max(map(len, names)) <= 3
    below = 0.85 if upright or not numbered else 0.7 + 0.075 * max(map(len, names))
    figure = new_figure(left + side + 1.1, 0.75 + side + below)
    if title:
        write(figure, 0.3, 0.2, plain(title, 70), fontsize=12, fontweight="bold")
    axes = place(figure, left, 0.65, side, side)
    totals = confusion.sum(axis=1, keepdims=True)
    shares = np.divide(confusion, totals, out=np.zeros(confusion.shape), where=totals > 0)
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xlabel("predicted", color=MUTED)
    axes.set_ylabel("true", color=MUTED)
    if numbered:
        axes.set_xticks(range(count))
        axes.set_yticks(range(count))
        axes.set_xticklabels(names, rotation=0 if upright else 60, ha="center" if upright else "right")
        axes.set_yticklabels(names)
        for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
            label.set_parse_math(False)
            label.set_fontsize(8.5)
            if not upright:
                label.set_rotation_mode("anchor")
        size = 8 if confusion.max() < 1000 else 6.5
        for (row, column), images in np.ndenumerate(confusion):
            if images:
                color = "white" if shares[row, column] > 0.5 else INK
                axes.text(column, row, str(int(images)), ha="center", va="center", fontsize=size, color=color)
    axes.tick_params(length=0 if numbered else 3, colors=INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(picture, cax=place(figure, left + side + 0.2, 0.65, 0.14, side))
    bar.set_label("share of the true class", color=MUTED)
    bar.outline.set_visible(False)
    return figure
