"""The figures of ProtoTree's paper: the tree, and the way of an image through it (Nauta et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from resemblance.data.transforms import to_tensor
from resemblance.drawing.style import AGAINST, FAINT, FOR, INK, MUTED, new_figure, place, plain, show, write
from resemblance.explain.explain import explain
from resemblance.explain.figure import explanation_figure
from resemblance.explain.prototype_view import PrototypeView, prototype_views
from resemblance.explain.text import percent
from resemblance.methods.paper_figures import FigureInputs, PaperFigure
from resemblance.methods.prototree.model import ProtoTree
from resemblance.methods.prototree.tree import Tree

ROW, COLUMN, PICTURE = 0.46, 0.95, 0.62  # inches: a leaf's row, a level's column, a prototype
MARGIN, TOP, LEAF = 0.25, 0.75, 2.9
BRANCHES = 24  # leaves drawn at most


@dataclass(frozen=True)
class Twig:
    """What stands at one place of the drawn tree: a node, a leaf, or a branch that is not drawn.

    Args:
        number: of the node or leaf.
        kind: ``node``, ``leaf`` or ``cut``.
        level: questions before it.
        row: where it stands, counted in leaves from the top.
        children: (absent, present), of a node.
        share: of the images that its leaves answer.
        leaves: how many leaves it has.
    """

    number: int
    kind: str
    level: int
    row: float
    children: tuple[Twig, ...]
    share: float
    leaves: int


def layout(tree: Tree, shares: np.ndarray, limit: int = BRANCHES) -> Twig:
    """Where nodes and leaves stand, if the ``limit`` most used leaves are drawn, and the other branches cut.

    Args:
        tree: its shape.
        shares: (L,) of the images that each leaf answers.
        limit: leaves drawn at most; those cut stand together where their branch leaves the drawn part.
    """
    asks = tree.asks.tolist()
    below = tree.below.cpu().numpy()
    numbers = np.where(asks, np.cumsum(asks) - 1, np.cumsum(np.logical_not(asks)) - 1).tolist()
    drawn = np.zeros(len(shares), dtype=bool)
    drawn[np.argsort(-shares, kind="stable")[:limit]] = True
    rows = iter(range(len(asks)))

    def grow(position: int, level: int) -> Twig:
        number = numbers[position]
        if not asks[position]:
            return Twig(number, "leaf", level, next(rows), (), float(shares[number]), 1)
        own = below[number]
        share, leaves = float(shares[own].sum()), int(own.sum())
        if not drawn[own].any():
            return Twig(number, "cut", level, next(rows), (), share, leaves)
        present, absent = grow(2 * number + 2, level + 1), grow(2 * number + 1, level + 1)
        return Twig(number, "node", level, (present.row + absent.row) / 2, (absent, present), share, leaves)

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
    """The tree from left to right (figure 1): a prototype a node, a class a leaf.

    Upwards goes an image that has the part, downwards one that lacks it.

    Args:
        tree: its shape.
        views: P prototypes.
        leaves: (L, C) class probabilities.
        shares: (L,) of the images that each leaf answers.
        classes: C names.
        limit: leaves drawn at most, the most used ones; a line says how many are left out.
    """
    root = layout(tree, shares, limit)
    twigs = list(_walk(root))
    rows = max(twig.row for twig in twigs) + 1
    depth = max(twig.level for twig in twigs)
    picture = min(PICTURE, 1.6 * ROW)
    height = TOP + rows * ROW + 0.35
    figure = new_figure(2 * MARGIN + depth * COLUMN + LEAF, height)

    def at(twig: Twig) -> tuple[float, float]:
        return MARGIN + twig.level * COLUMN + picture / 2, TOP + (twig.row + 0.5) * ROW

    axes = place(figure, 0, 0, *figure.get_size_inches())
    axes.set_xlim(0, figure.get_size_inches()[0])
    axes.set_ylim(figure.get_size_inches()[1], 0)
    axes.axis("off")
    for twig in twigs:
        for child, present in zip(twig.children, (False, True), strict=True) if twig.children else ():
            x, y = at(child)
            end = (x if child.kind == "node" else x - picture / 2, y)
            _edge(axes, at(twig), end, present, child.share)
    for twig in twigs:
        x, y = at(twig)
        if twig.kind == "node":
            view = views[twig.number]
            shown = show(figure, x - picture / 2, y - picture / 2, picture, view.picture, whole=view.source)
            shown.set_anchor("C")
            above = y - picture / 2 - 0.02
            write(
                figure, x - 0.05, above, str(twig.number), fontsize=6.5, color=MUTED, ha="right", va="bottom"
            )
        elif twig.kind == "leaf":
            _leaf(figure, axes, x - picture / 2, y, leaves[twig.number], twig.share, classes)
        else:
            text = f"+ {twig.leaves} leaves, {percent(twig.share)} of the images"
            write(figure, x - picture / 2 + 0.05, y, text, fontsize=7.5, color=MUTED, va="center")
    cut = [twig.leaves for twig in twigs if twig.kind == "cut"]
    about = f"{tree.nodes} prototypes, {tree.leaves} leaves"
    if cut:
        drawn = tree.leaves - sum(cut)
        about += f"; drawn: {drawn} leaves, the most used ones and their neighbours, {sum(cut)} are left out"
    write(figure, MARGIN, 0.1, about, fontsize=9, fontweight="bold")
    write(figure, MARGIN, 0.32, "upwards: the image has the part", fontsize=8, color=FOR)
    write(figure, MARGIN + 2.1, 0.32, "downwards: it lacks it", fontsize=8, color=AGAINST)
    return figure


def _walk(twig: Twig) -> list[Twig]:
    return [twig, *(part for child in twig.children for part in _walk(child))]


def _edge(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], present: bool, share: float
) -> None:
    """A stepped line, the thicker the more images go its way."""
    (x0, y0), (x1, y1) = start, end
    line = {"color": FOR if present else AGAINST, "linewidth": 0.8 + 4 * share**0.5, "zorder": 0}
    axes.plot([x0, x0, x1], [y0, y1, y1], linestyle="-" if present else (0, (3, 1.2)), **line)


def _leaf(
    figure: Figure, axes: Axes, x: float, y: float, chances: np.ndarray, share: float, classes: Sequence[str]
) -> None:
    """The most probable class of a leaf, and which share of the images it answers as a bar."""
    best = int(chances.argmax())
    text = f"{plain(classes[best], 20)} · {percent(float(chances[best]))}"
    axes.plot([x, x], [y - 0.13, y + 0.13], color=INK, linewidth=1.4)
    write(figure, x + 0.07, y - 0.02, text, fontsize=8, fontweight="bold", va="bottom")
    axes.barh([y + 0.1], [1.0], height=0.07, left=x + 0.07, color=FAINT)
    axes.barh([y + 0.1], [share], height=0.07, left=x + 0.07, color=MUTED)
    write(figure, x + 1.12, y + 0.1, percent(share), fontsize=6.5, color=MUTED, va="center")


def leaf_shares(model: ProtoTree) -> np.ndarray:
    """The share of the training images that each leaf answers, as its counts tell; equal where leaves are trained."""
    mass: Tensor = model.counts.detach().double().sum(dim=1)
    if model.config.leaves == "trained" or not mass.sum() > 0:
        return np.full(len(mass), 1 / len(mass))
    return np.asarray((mass / mass.sum()).cpu().numpy())


def figures(model: ProtoTree, material: FigureInputs) -> dict[str, PaperFigure]:
    """The tree, and the way of an image through it.

    Args:
        model: trained, with pictures of its prototypes.
        material: the first image is the one whose way is shown.
    """
    leaves = model.counts.detach().softmax(dim=1).cpu().numpy()
    drawn = tree_figure(model.tree, prototype_views(model), leaves, leaf_shares(model), model.spec.classes)
    how = (
        "Each picture is a prototype: the model asks whether the image has this part. Thicker lines are gone by more "
        "training images; a leaf tells its most probable class, the bar how many of the training images it answers."
    )
    found = {"The tree": PaperFigure(drawn, how)}
    if len(material.source):
        image = to_tensor(material.source.read(0), model.spec.image)
        found["The way of an image through the tree"] = PaperFigure(
            explanation_figure(explain(model, image, top=1, name=material.source.name(0))),
            "The path that contributes most to the prediction, and the best one for the runner-up.",
        )
    return found
