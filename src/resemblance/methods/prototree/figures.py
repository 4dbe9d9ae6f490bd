"""The figures of ProtoTree's paper: the tree, and the path of an image through it (Nauta et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from resemblance.drawing.style import AGAINST, FAINT, FOR, INK, MUTED, new_figure, place, plain, show, write
from resemblance.explain.explain import explain
from resemblance.explain.figure.explanation_figure import explanation_figure
from resemblance.explain.prototype_view import PrototypeView, prototype_views
from resemblance.explain.rounding import percent
from resemblance.methods.paper_figures import FigureInputs, PaperFigure
from resemblance.methods.prototree.model import ProtoTree
from resemblance.methods.prototree.tree import Tree

ROW, COLUMN, PICTURE = 0.46, 0.95, 0.62  # inches: row of a leaf, column of a level, side of a prototype
MARGIN, TOP, LEAF = 0.25, 0.75, 2.9
BRANCHES = 24  # the most leaves to draw


@dataclass(frozen=True)
class TreeItem:
    """An item of the drawn tree: a node, a leaf, or a branch that is not drawn.

    Args:
        number: number of the node or leaf.
        kind: ``node``, ``leaf`` or ``cut``.
        level: number of questions before it.
        row: its vertical position, in leaves from the top.
        children: (absent, present), the children of a node.
        share: share of the images that its leaves classify.
        leaves: number of its leaves.
    """

    number: int
    kind: str
    level: int
    row: float
    children: tuple[TreeItem, ...]
    share: float
    leaves: int


def layout(tree: Tree, shares: np.ndarray, limit: int = BRANCHES) -> TreeItem:
    """Compute the positions of nodes and leaves when the ``limit`` most used leaves are drawn.

    Args:
        tree: the tree.
        shares: (L,), the share of the images that each leaf classifies.
        limit: the most leaves to draw; each of the other branches becomes one item.
    """
    asks = tree.asks.tolist()
    below = tree.below.cpu().numpy()
    numbers = np.where(asks, np.cumsum(asks) - 1, np.cumsum(np.logical_not(asks)) - 1).tolist()
    drawn = np.zeros(len(shares), dtype=bool)
    drawn[np.argsort(-shares, kind="stable")[:limit]] = True
    rows = iter(range(len(asks)))

    def grow(position: int, level: int) -> TreeItem:
        number = numbers[position]
        if not asks[position]:
            return TreeItem(number, "leaf", level, next(rows), (), float(shares[number]), 1)
        own_leaves = below[number]
        share, leaves = float(shares[own_leaves].sum()), int(own_leaves.sum())
        if not drawn[own_leaves].any():
            return TreeItem(number, "cut", level, next(rows), (), share, leaves)
        present, absent = grow(2 * number + 2, level + 1), grow(2 * number + 1, level + 1)
        return TreeItem(
            number, "node", level, (present.row + absent.row) / 2, (absent, present), share, leaves
        )

    return grow(0, 0)


def tree_figure(
    tree: Tree,
    views: Sequence[PrototypeView],
    leaves: np.ndarray,
    shares: np.ndarray,
    classes: Sequence[str],
    *,
    limit: int = BRANCHES,
) -> Figure:
    """Draw the tree from left to right (figure 1): a prototype at each node, a class at each leaf.

    Images that have the part go upwards, images that lack it go downwards.

    Args:
        tree: the tree.
        views: the P prototypes.
        leaves: (L, C), class probabilities.
        shares: (L,), the share of the images that each leaf classifies.
        classes: C names.
        limit: the most leaves to draw, the most used ones; a line says how many are left out.
    """
    root = layout(tree, shares, limit)
    items = list(_walk(root))
    rows = max(item.row for item in items) + 1
    depth = max(item.level for item in items)
    picture = min(PICTURE, 1.6 * ROW)
    height = TOP + rows * ROW + 0.35
    figure = new_figure(2 * MARGIN + depth * COLUMN + LEAF, height)

    def at(item: TreeItem) -> tuple[float, float]:
        return MARGIN + item.level * COLUMN + picture / 2, TOP + (item.row + 0.5) * ROW

    axes = place(figure, 0, 0, *figure.get_size_inches())
    axes.set_xlim(0, figure.get_size_inches()[0])
    axes.set_ylim(figure.get_size_inches()[1], 0)
    axes.axis("off")
    for item in items:
        for child, present in zip(item.children, (False, True), strict=True) if item.children else ():
            x, y = at(child)
            end = (x if child.kind == "node" else x - picture / 2, y)
            _edge(axes, at(item), end, present, child.share)
    for item in items:
        x, y = at(item)
        if item.kind == "node":
            view = views[item.number]
            shown = show(figure, x - picture / 2, y - picture / 2, picture, view.picture, whole=view.source)
            shown.set_anchor("C")
            above = y - picture / 2 - 0.02
            write(
                figure, x - 0.05, above, str(item.number), fontsize=6.5, color=MUTED, ha="right", va="bottom"
            )
        elif item.kind == "leaf":
            _leaf(figure, axes, x - picture / 2, y, leaves[item.number], item.share, classes)
        else:
            text = f"+ {item.leaves} leaves, {percent(item.share)} of the images"
            write(figure, x - picture / 2 + 0.05, y, text, fontsize=7.5, color=MUTED, va="center")
    cut = [item.leaves for item in items if item.kind == "cut"]
    about = f"{tree.nodes} prototypes, {tree.leaves} leaves"
    if cut:
        drawn = tree.leaves - sum(cut)
        about += f"; drawn: {drawn} leaves, the most used ones and their neighbours, {sum(cut)} are left out"
    write(figure, MARGIN, 0.1, about, fontsize=9, fontweight="bold")
    write(figure, MARGIN, 0.32, "upwards: the image has the part", fontsize=8, color=FOR)
    write(figure, MARGIN + 2.1, 0.32, "downwards: it lacks it", fontsize=8, color=AGAINST)
    return figure


def _walk(item: TreeItem) -> list[TreeItem]:
    return [item, *(part for child in item.children for part in _walk(child))]


def _edge(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], present: bool, share: float
) -> None:
    """Draw a stepped line, thicker if more images take this branch."""
    (x0, y0), (x1, y1) = start, end
    line = {"color": FOR if present else AGAINST, "linewidth": 0.8 + 4 * share**0.5, "zorder": 0}
    axes.plot([x0, x0, x1], [y0, y1, y1], linestyle="-" if present else (0, (3, 1.2)), **line)


def _leaf(
    figure: Figure,
    axes: Axes,
    x: float,
    y: float,
    probabilities: np.ndarray,
    share: float,
    classes: Sequence[str],
) -> None:
    """Draw the most probable class of a leaf, and the share of the images that it classifies as a bar."""
    best = int(probabilities.argmax())
    text = f"{plain(classes[best], 20)} · {percent(float(probabilities[best]))}"
    axes.plot([x, x], [y - 0.13, y + 0.13], color=INK, linewidth=1.4)
    write(figure, x + 0.07, y - 0.02, text, fontsize=8, fontweight="bold", va="bottom")
    axes.barh([y + 0.1], [1.0], height=0.07, left=x + 0.07, color=FAINT)
    axes.barh([y + 0.1], [share], height=0.07, left=x + 0.07, color=MUTED)
    write(figure, x + 1.12, y + 0.1, percent(share), fontsize=6.5, color=MUTED, va="center")


def leaf_shares(model: ProtoTree) -> np.ndarray:
    """Return the share of the training images that each leaf classifies by its counts; equal for trained leaves."""
    mass: Tensor = model.counts.detach().double().sum(dim=1)
    if model.config.leaves == "trained" or not mass.sum() > 0:
        return np.full(len(mass), 1 / len(mass))
    return np.asarray((mass / mass.sum()).cpu().numpy())


def figures(model: ProtoTree, inputs: FigureInputs) -> dict[str, PaperFigure]:
    """Draw the tree, and the path of an image through it, by title.

    Args:
        model: trained, with pictures of its prototypes.
        inputs: a source of images; the path of the first one is shown.
    """
    leaves = model.counts.detach().softmax(dim=1).cpu().numpy()
    figure = tree_figure(model.tree, prototype_views(model), leaves, leaf_shares(model), model.spec.classes)
    caption = (
        "Each picture is a prototype: the model checks whether the image has this part. More training images take "
        "thicker lines. A leaf shows its most probable class; its bar is the share of images that it classifies."
    )
    by_title = {"The tree": PaperFigure(figure, caption)}
    if len(inputs.source):
        image = inputs.source.tensor(0, model.spec.image)
        by_title["The path of an image through the tree"] = PaperFigure(
            explanation_figure(explain(model, image, top=1, name=inputs.source.name(0))),
            "The path that contributes most to the predicted class, and the one that contributes most to the next.",
        )
    return by_title
