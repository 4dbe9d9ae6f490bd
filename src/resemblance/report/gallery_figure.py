"""Draw the figure of all prototypes, class by class, with the usage of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from resemblance.config.words import PROTOTYPES
from resemblance.drawing.sheet import picture, sheet, text
from resemblance.drawing.style import FAINT, FOR, MUTED, WARN, plain, write
from resemblance.explain.pictures.place_pictures import prototype_picture
from resemblance.explain.prototype_view import OWNERS, PrototypeView
from resemblance.explain.rounding import percent

SIDE, GAP, MARGIN, NAME, FOOT = 0.85, 0.14, 0.3, 1.5, 0.36
LARGEST = 400  # the largest number of prototypes that are drawn


def by_class(views: Sequence[PrototypeView], classes: Sequence[str]) -> dict[str, list[PrototypeView]]:
    """Group prototypes by class, the most used first; a prototype of a few classes is in the group of each.

    Classes without prototypes have an empty list; prototypes of many classes and of no class come last. If the method
    assigns no classes, all are one group.

    Example:
        >>> views = [PrototypeView(0, ("a",), activations=1), PrototypeView(1, ("a",), activations=5)]
        >>> {name: [view.index for view in group] for name, group in by_class(views, ["a", "b"]).items()}
        {'a': [1, 0], 'b': []}
        >>> list(by_class([PrototypeView(0, tuple("abcdef"))], list("abcdefg")))
        ['g', 'more than 5 classes']
    """
    of_many = {name for view in views if len(view.classes) > OWNERS for name in view.classes}
    of_few = {name for view in views if len(view.classes) <= OWNERS for name in view.classes}
    groups: dict[str, list[PrototypeView]] = {
        name: [] for name in classes if name in of_few or name not in of_many
    }
    if views and not views[0].words.owned:
        groups = {"all classes": list(views)}
        views = []
    for view in views:
        names = view.classes or ("no class",)
        for name in names if len(names) <= OWNERS else (f"more than {OWNERS} classes",):
            groups.setdefault(name, []).append(view)
    return {name: sorted(group, key=lambda view: -(view.activations or 0)) for name, group in groups.items()}


def gallery_figure(
    views: Sequence[PrototypeView], classes: Sequence[str], per_row: int = 10, title: str = ""
) -> Figure:
    """Draw the prototypes by class, each with the share of training images for which it is the most similar one.

    Args:
        views: the prototypes; if there are more than 400, only the most used ones are drawn and the others counted.
        classes: the names of the classes, in the order in which they are drawn.
        per_row: the largest number of pictures per row.
        title: the title above the figure.

    Example:
        >>> gallery_figure([PrototypeView(0, ("cat",), activations=3)], ["cat", "dog"]).savefig(
        ...     "gallery.png")  # doctest: +SKIP
    """
    left_out = 0
    if len(views) > LARGEST:
        kept = sorted(views, key=lambda view: -(view.activations or 0))[:LARGEST]
        left_out = len(views) - LARGEST
        views = sorted(kept, key=lambda view: view.index)
    groups = by_class(views, classes)
    if left_out:
        groups = {name: group for name, group in groups.items() if group}
    widest = min(per_row, max([1, *(len(group) for group in groups.values())]))
    rows = {name: max(1, -(-len(group) // widest)) for name, group in groups.items()}
    row = SIDE + FOOT + GAP
    top = 0.75 if title else 0.45
    width = max(2 * MARGIN + NAME + widest * (SIDE + GAP), 5.4)
    figure, axes = sheet(width, 2 * MARGIN + top + sum(rows.values()) * row, unit=1)
    if title:
        write(figure, MARGIN, MARGIN, plain(title, 90), fontsize=13, fontweight="bold")
    words = views[0].words if views else PROTOTYPES
    note = "Percentages: training images for which a prototype is the most similar one. Red: none (unused)."
    if not words.rivals:
        note = f"Percentages: {words.share}."
    if left_out:
        note += f" {left_out} less used {words.many} are not drawn."
    write(figure, MARGIN, MARGIN + top - 0.42, note, color=MUTED, fontsize=8)
    largest = max([view.importance or 0.0 for view in views], default=0.0) or 1.0
    y = MARGIN + top
    for name, group in groups.items():
        write(figure, MARGIN, y + 0.1, plain(name, 20), fontweight="bold")
        write(figure, MARGIN, y + 0.3, words.count(len(group)), color=MUTED, fontsize=8)
        for number, view in enumerate(group):
            x = MARGIN + NAME + (number % widest) * (SIDE + GAP)
            _tile(axes, x, y + (number // widest) * row, view, largest)
        y += rows[name] * row
    return figure


def _tile(axes: Axes, x: float, y: float, view: PrototypeView, largest: float) -> None:
    pixels, part = prototype_picture(view)
    picture(axes, pixels, x, y, SIDE, WARN if view.unused else None, box=part, whole=view.source)
    foot = y + SIDE + 0.05
    below = dict[str, Any](va="top", size=7)
    text(axes, x, foot + 0.09, str(view.index), ha="left", color=WARN if view.unused else MUTED, **below)
    if view.unused:
        text(axes, x + SIDE, foot + 0.09, "unused", ha="right", color=WARN, weight="bold", **below)
    elif view.importance is not None:
        text(axes, x + SIDE, foot + 0.09, percent(view.importance), ha="right", **below)
        axes.add_patch(Rectangle((x, foot), SIDE, 0.05, color=FAINT, linewidth=0))
        axes.add_patch(Rectangle((x, foot), SIDE * view.importance / largest, 0.05, color=FOR, linewidth=0))
