"""The sheets of ProtoPool's figures: shared prototypes, classes with their parts, and the graph of classes.

They follow figures 1 and 7 to 9 of Rymarczyk et al. 2022.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from resemblance.data.images import Pixels
from resemblance.drawing.style import FAINT, FOR, INK, MUTED, new_figure, place, plain, show, write
from resemblance.explain.prototype_view import PrototypeView

MARGIN, SIDE, GAP = 0.3, 1.05, 0.16
STEP = SIDE + 0.42  # from one row of pictures with captions to the next
PARTS, LINES = 12, 120  # the most parts of a class, and lines of the graph, to show
LEFT, MIDDLE, RIGHT = "#dbe9f6", "#ffffff", "#dff0d8"


def shared_figure(views: Sequence[PrototypeView], classes: int) -> Figure:
    """Draw the prototypes that most classes share, and the classes that they are in (figure 8).

    Args:
        views: the prototypes to draw.
        classes: number of all classes.
    """
    width = 7.4
    lines = [_names(view.classes, 60, 3) for view in views]
    figure = new_figure(width, 2 * MARGIN + len(views) * (SIDE + GAP))
    for row, (view, names) in enumerate(zip(views, lines, strict=True)):
        y = MARGIN + row * (SIDE + GAP)
        show(figure, MARGIN, y, SIDE, view.picture, whole=view.source)
        show(figure, MARGIN + SIDE + GAP, y, SIDE, view.source, view.box)
        x = MARGIN + 2 * (SIDE + GAP)
        title = f"prototype {view.index}, a part of {len(view.classes)} of {classes} classes"
        write(figure, x, y + 0.05, title, fontweight="bold")
        for number, line in enumerate(names):
            write(figure, x, y + 0.3 + 0.18 * number, line, fontsize=8.5)
    return figure


def class_figure(name: str, examples: Sequence[Pixels], views: Sequence[PrototypeView]) -> Figure:
    """Draw some images of a class, and all its parts (figure 7).

    Args:
        name: name of the class.
        examples: images of the class.
        views: its prototypes, the largest weights first; at most 12 are drawn, the others counted.
    """
    shown, columns = views[:PARTS], 6
    rows = max(-(-len(shown) // columns), 1)
    first = bool(examples)
    figure = new_figure(2 * MARGIN + columns * (SIDE + GAP), 2 * MARGIN + 0.3 + (first + rows) * STEP)
    write(figure, MARGIN, MARGIN, f"{plain(name, 50)} and its parts", fontsize=11, fontweight="bold")
    top = MARGIN + 0.35
    for number, pixels in enumerate(examples):
        show(figure, MARGIN + number * (SIDE + GAP), top, SIDE, pixels)
    if first:
        write(figure, MARGIN, top + SIDE + 0.05, "images of the class", color=MUTED, fontsize=8)
    for number, view in enumerate(shown):
        row, column = divmod(number, columns)
        x, y = MARGIN + column * (SIDE + GAP), top + (first + row) * STEP
        _part(figure, x, y, view)
        others = [plain(other, 12) for other in view.classes if other != name]
        also = (
            "its own" if not others else f"also {others[0]}" if len(others) == 1 else f"{len(others)} others"
        )
        write(figure, x, y + SIDE + 0.04, f"prototype {view.index}", fontsize=8)
        write(figure, x, y + SIDE + 0.19, also, color=MUTED, fontsize=7.5)
    if len(views) > len(shown):
        more = f"and {len(views) - len(shown)} more"
        write(
            figure, MARGIN + columns * (SIDE + GAP) - GAP, MARGIN, more, color=MUTED, fontsize=8, ha="right"
        )
    return figure


def pair_figure(
    names: tuple[str, str],
    examples: tuple[Sequence[Pixels], Sequence[Pixels]],
    parts: tuple[Sequence[PrototypeView], Sequence[PrototypeView], Sequence[PrototypeView]],
) -> Figure:
    """Draw two classes, their own parts on the left and right, and those that they share in the middle (figure 1).

    Args:
        names: names of the two classes.
        examples: images of each.
        parts: prototypes of the first class only, of both, and of the second only; at most 9 of each are drawn.
    """
    columns, panel = 3, 3 * (SIDE + GAP) + GAP
    rows = max([1, *(-(-min(len(views), 9) // columns) for views in parts)])
    above = 0.35 + SIDE + 0.25
    height = above + rows * (SIDE + 0.26) + 0.15
    figure = new_figure(2 * MARGIN + 3 * panel, 2 * MARGIN + height)
    titles = (plain(names[0], 32), "shared by both", plain(names[1], 32))
    for number, (views, title, colour) in enumerate(zip(parts, titles, (LEFT, MIDDLE, RIGHT), strict=True)):
        x = MARGIN + number * panel
        _panel(figure, x, MARGIN, panel, height, colour)
        write(figure, x + GAP, MARGIN + 0.1, title, fontweight="bold", fontsize=10)
        if number != 1:
            for rank, pixels in enumerate(examples[number // 2][:columns]):
                show(figure, x + GAP + rank * (SIDE + GAP), MARGIN + 0.4, SIDE, pixels)
        elif not views:
            write(figure, x + GAP, MARGIN + 0.4, "nothing", color=MUTED)
        for count, view in enumerate(views[:9]):
            row, column = divmod(count, columns)
            left, top = x + GAP + column * (SIDE + GAP), MARGIN + above + row * (SIDE + 0.26)
            _part(figure, left, top, view)
            write(figure, left, top + SIDE + 0.03, f"prototype {view.index}", fontsize=8, color=MUTED)
        if len(views) > 9:
            more = f"and {len(views) - 9} more"
            write(figure, x + panel - GAP, MARGIN + 0.12, more, fontsize=8, color=MUTED, ha="right")
    return figure


def graph_figure(names: Sequence[str], shared: NDArray[np.int64]) -> Figure:
    """Draw classes on a circle, with wider and darker lines between two classes that share more prototypes.

    Args:
        names: C names.
        shared: (C, C), number of prototypes that each pair of classes has in common.
    """
    turned = len(names) > 12
    side, reach = (7.8, 1.65) if turned else (5.2, 1.5)
    figure = new_figure(side + 2.0, side)
    axes = place(figure, 0, 0, side + 2.0, side)
    axes.set(xlim=(-reach * (side + 2.0) / side, reach * (side + 2.0) / side), ylim=(-reach, reach))
    axes.axis("off")
    # From the top, clockwise.
    angles = np.pi / 2 - 2 * np.pi * np.arange(len(names)) / len(names)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    pairs = [(a, b) for a in range(len(names)) for b in range(a) if shared[a, b] > 0]
    drawn = sorted(pairs, key=lambda pair: -shared[pair])[:LINES]
    most = max([1, *(int(shared[pair]) for pair in drawn)])
    for a, b in reversed(drawn):
        strength = float(shared[a, b]) / most
        alpha, linewidth = 0.15 + 0.75 * strength, 0.5 + 4 * strength
        axes.plot(*points[[a, b]].T, color=FOR, alpha=alpha, linewidth=linewidth, zorder=1)
    axes.scatter(points[:, 0], points[:, 1], s=42, color=INK, zorder=2)
    for name, angle, (x, y) in zip(names, angles, points, strict=True):
        left, upright = x < -1e-6, abs(x) < 1e-6 and not turned
        axes.text(
            1.07 * x,
            1.07 * y,
            plain(name, 18),
            ha="center" if upright else "right" if left else "left",
            va="center" if turned or abs(y) < 0.9 else "bottom" if y > 0 else "top",
            rotation=float(np.degrees(angle)) + 180 * left if turned else 0.0,
            rotation_mode="anchor",
            fontsize=8 if turned else 9,
            color=INK,
            parse_math=False,
        )
    note = f"widest line: {most} in common"
    note += f" · the {LINES} widest of {len(pairs)} lines" if len(pairs) > LINES else ""
    write(figure, 0.15, side - 0.25, note, color=MUTED, fontsize=8)
    return figure


def _names(names: Sequence[str], width: int, lines: int) -> list[str]:
    """Return the names in at most ``lines`` lines of text; those without room are counted."""
    for count in range(len(names), 0, -1):
        text = ", ".join(plain(name, 24) for name in names[:count])
        text += f" and {len(names) - count} more" if count < len(names) else ""
        wrapped = textwrap.wrap(text, width)
        if len(wrapped) <= lines:
            return wrapped
    return []


def _panel(figure: Figure, x: float, y: float, width: float, height: float, colour: str) -> None:
    axes = place(figure, x, y, width, height)
    axes.axis("off")
    axes.add_patch(Rectangle((0, 0), 1, 1, transform=axes.transAxes, facecolor=colour, edgecolor=FAINT))


def _part(figure: Figure, x: float, y: float, view: PrototypeView) -> None:
    """Draw the training image with the part framed: a small part alone is hard to recognise."""
    show(figure, x, y, SIDE, view.picture if view.source is None else view.source, view.box)
