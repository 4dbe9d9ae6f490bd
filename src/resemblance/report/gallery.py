"""The figure of all prototypes, class by class, with how much each is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from resemblance.config.words import PROTOTYPES
from resemblance.core.catalogue import PrototypeView
from resemblance.core.wording import percent
from resemblance.report.style import FAINT, FOR, INK, MUTED, SMALL, WARN, new_figure, plain, write

SIDE, GAP, MARGIN, NAME, FOOT = 0.85, 0.14, 0.3, 1.5, 0.36
LARGEST = 400


def by_class(views: Sequence[PrototypeView], classes: Sequence[str]) -> dict[str, list[PrototypeView]]:
    """Prototypes by class, the most used first; one that several classes own stands with each of them.

    Classes without prototypes are there, with an empty list; prototypes of no class come last. What can belong to no
    class is one group.

    Example:
        >>> views = [PrototypeView(0, ("a",), activations=1), PrototypeView(1, ("a",), activations=5)]
        >>> {name: [view.index for view in found] for name, found in by_class(views, ["a", "b"]).items()}
        {'a': [1, 0], 'b': []}
    """
    groups: dict[str, list[PrototypeView]] = {name: [] for name in classes}
    if views and not views[0].words.owned:
        groups = {"all classes": list(views)}
        views = []
    for view in views:
        for name in view.classes or ("no class",):
            groups.setdefault(name, []).append(view)
    return {name: sorted(found, key=lambda view: -(view.activations or 0)) for name, found in groups.items()}


def gallery_figure(
    views: Sequence[PrototypeView], classes: Sequence[str], per_row: int = 10, title: str = ""
) -> Figure:
    """Draw the prototypes by class, each with the share of training images that it is the most similar to.

    Args:
        views: the prototypes; beyond the 400 most used, prototypes are counted but not drawn.
        classes: names in the order in which they are drawn.
        per_row: pictures in a row.
        title: above the figure.

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
        groups = {name: found for name, found in groups.items() if found}
    widest = min(per_row, max([1, *(len(found) for found in groups.values())]))
    rows = {name: max(1, -(-len(found) // widest)) for name, found in groups.items()}
    row = SIDE + FOOT + GAP
    top = 0.75 if title else 0.45
    width = max(2 * MARGIN + NAME + widest * (SIDE + GAP), 5.4)
    figure = new_figure(width, 2 * MARGIN + top + sum(rows.values()) * row)
    if title:
        write(figure, MARGIN, MARGIN, plain(title, 90), fontsize=13, fontweight="bold")
    words = views[0].words if views else PROTOTYPES
    note = "Per cent: training images to which a prototype is the most similar of all. Red: none (unused)."
    if not words.rivals:
        note = f"Per cent: training images in which {words.a}'s {words.similarity} is the largest of all."
    if left_out:
        note += f" {left_out} less used {words.many} are not drawn."
    write(figure, MARGIN, MARGIN + top - 0.42, note, color=MUTED, fontsize=8)
    largest = max([view.importance or 0.0 for view in views], default=0.0) or 1.0
    # One sheet for all tiles, in inches from the upper left corner: axes for each would take seconds.
    sheet = figure.add_axes((0, 0, 1, 1))
    y = MARGIN + top
    for name, found in groups.items():
        write(figure, MARGIN, y + 0.1, plain(name, 20), fontweight="bold")
        write(figure, MARGIN, y + 0.3, words.count(len(found)), color=MUTED, fontsize=8)
        for number, view in enumerate(found):
            x = MARGIN + NAME + (number % widest) * (SIDE + GAP)
            _tile(sheet, x, y + (number // widest) * row, view, largest)
        y += rows[name] * row
    sheet.set_xlim(0, figure.get_figwidth())
    sheet.set_ylim(figure.get_figheight(), 0)
    sheet.axis("off")
    return figure


def _tile(sheet: Axes, x: float, y: float, view: PrototypeView, largest: float) -> None:
    pixels = view.picture
    if pixels is not None:
        height, width = (SIDE * side / max(pixels.shape[:2]) for side in pixels.shape[:2])
        whole = pixels if view.source is None else view.source
        smooth = "bilinear" if max(whole.shape[:2]) > SMALL else "nearest"
        extent = (x, x + width, y + height, y)
        sheet.imshow(pixels, extent=extent, interpolation=smooth, aspect="auto", origin="upper")
    if pixels is None or view.unused:
        color, line = (WARN, 1.6) if view.unused else (FAINT, 0.8)
        sheet.add_patch(Rectangle((x, y), SIDE, SIDE, fill=False, edgecolor=color, linewidth=line))
    foot = y + SIDE + 0.05
    left = dict[str, Any](va="top", fontsize=7, color=WARN if view.unused else MUTED)
    sheet.text(x, foot + 0.06, f"{view.index}", **left)
    if view.unused:
        sheet.text(x + SIDE, foot + 0.06, "unused", ha="right", fontweight="bold", **left)
    elif view.importance is not None:
        sheet.text(x + SIDE, foot + 0.06, percent(view.importance), ha="right", **(left | {"color": INK}))
        sheet.add_patch(Rectangle((x, foot), SIDE, 0.05, color=FAINT, linewidth=0))
        sheet.add_patch(Rectangle((x, foot), SIDE * view.importance / largest, 0.05, color=FOR, linewidth=0))
