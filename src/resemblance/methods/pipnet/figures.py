"""The figures of PIP-Net's paper (Nauta et al. 2023): what prototypes show, scoring sheets, and how few decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from resemblance.data.dataset import ImageDataset
from resemblance.data.images import Pixels
from resemblance.data.inputs import as_picture
from resemblance.data.loader import loader
from resemblance.data.sources.source import Source, Subset
from resemblance.drawing.cut import more
from resemblance.drawing.sheet import picture, sheet, text
from resemblance.drawing.style import FAINT, FOR, MUTED, SMALL, new_figure, place, plain
from resemblance.explain.prototype_view import PrototypeView, prototype_views
from resemblance.methods.paper_figures import FigureInputs, PaperFigure
from resemblance.methods.pipnet.losses import SHRINK
from resemblance.methods.pipnet.model import PIPNet
from resemblance.prototypes.gallery import Box

SHOWN, CLASSES, POINTS = 24, 6, 6  # prototypes; classes and prototypes of a scoring sheet
COUNTED = 1000  # images in which present prototypes are counted
SIDE, GAP, MARGIN = 0.72, 0.07, 0.25  # inches


@dataclass(frozen=True)
class Place:
    """A training image and the patch of it that shows a prototype."""

    image: Pixels
    box: Box


@torch.no_grad()
def top_places(model: PIPNet, train: Source, chosen: Sequence[int]) -> dict[int, list[Place]]:
    """The training images in which prototypes are most present, largest first, without those in which they are not.

    Args:
        model: trained.
        train: the training images.
        chosen: prototypes.

    Returns:
        By prototype; empty if these are not the images that the model was trained on.
    """
    examples, strengths = model.prototypes.examples.cpu(), model.prototypes.strengths.cpu()
    wanted = sorted({index for p in chosen for index in examples[p].tolist() if index >= 0})
    if not wanted or wanted[-1] >= len(train):
        return {}
    found: dict[int, list[tuple[float, Place]]] = {p: [] for p in chosen}
    for images, _, indices in loader(ImageDataset(train, model.spec.image), 64, sampler=wanted):
        maps = model.prototypes.maps(model.latents(images.to(model.device)))
        grid = (maps.shape[2], maps.shape[3])
        for row, index in enumerate(indices.tolist()):
            picture = as_picture(images[row])
            for p in chosen:
                rank = (examples[p] == index).nonzero().flatten()
                if not len(rank):
                    continue
                presence, cell = maps[row, p].flatten().max(dim=0)
                known = float(strengths[p, rank[0]])
                if abs(float(presence) - known) > 1e-2:
                    return {}
                if known >= model.config.least_presence:
                    boxes = model.prototypes.patch_boxes(cell[None], grid, model.spec.image.size)
                    x0, y0, x1, y1 = boxes[0].tolist()
                    found[p].append((known, Place(picture, (x0, y0, x1, y1))))
    return {p: [spot for _, spot in sorted(places, key=lambda pair: -pair[0])] for p, places in found.items()}


def patches_figure(places: dict[int, list[Place]], count: int, heads: dict[int, list[str]]) -> Figure:
    """A row a prototype: the patches that show it most (figures 1 and 6 of the paper).

    Of small images the whole one is drawn with the patch framed: few pixels alone tell nothing.

    Args:
        places: by prototype.
        count: how many prototypes there are; those that are not shown are counted below.
        heads: for each prototype, the lines below its number.
    """
    widest = max([1, *(len(spots) for spots in places.values())])
    head, step = 1.95, SIDE + GAP
    figure, axes = sheet(MARGIN * 2 + head + widest * step, 2 * MARGIN + len(places) * step + 0.3, unit=1)
    for row, (p, spots) in enumerate(places.items()):
        y, lines = MARGIN + row * step, heads[p]
        middle = y + SIDE / 2 - 0.07 * len(lines)
        text(axes, MARGIN, middle, f"prototype {p}", ha="left", fontweight="bold")
        for number, line in enumerate(lines):
            text(axes, MARGIN, middle + 0.18 + 0.14 * number, line, ha="left", size=7.5, color=MUTED)
        for column, spot in enumerate(spots):
            _draw(axes, spot.image, spot.box, MARGIN + head + column * step, y, SIDE)
    note = ["Patches of training images in which each prototype is most present, from the left"]
    note += more(count - len(places), "prototype")
    below = MARGIN + len(places) * step + 0.15
    text(axes, MARGIN, below, " · ".join(note), ha="left", size=8, color=MUTED)
    return figure


def _draw(axes: Axes, image: Pixels, box: Box | None, left: float, top: float, side: float) -> None:
    """The patch of a large image, or the whole of a small one with the patch framed."""
    if box is None or max(image.shape[:2]) <= SMALL:
        picture(axes, image, left, top, side, box=box)
    else:
        picture(axes, image[box[1] : box[3], box[0] : box[2]], left, top, side, whole=image)


def sheet_figure(
    classes: Sequence[tuple[str, Sequence[tuple[PrototypeView, float]], int]], left_out: int
) -> Figure:
    """The scoring sheet: a row a class, its weightiest prototypes with their weights.

    Args:
        classes: name, prototypes with weights, the largest first, and how many more there are.
        left_out: how many classes are not drawn.
    """
    side, step, head, line = 0.95, 1.5, 1.6, 1.5
    columns = max([1, *(len(points) for _, points, _ in classes)])
    width = MARGIN * 2 + head + columns * step
    figure, axes = sheet(width, 2 * MARGIN + len(classes) * line + 0.25, unit=1)
    largest = max([1e-12, *(weight for _, points, _ in classes for _, weight in points)])
    for row, (name, points, others) in enumerate(classes):
        y = MARGIN + row * line
        text(axes, MARGIN, y + side / 2 - 0.1, plain(name, 18), ha="left", fontweight="bold", size=10)
        if others:
            text(axes, MARGIN, y + side / 2 + 0.1, f"and {others} more", ha="left", size=8, color=MUTED)
        if not points:
            text(axes, MARGIN + head, y + side / 2, "no prototype", ha="left", color=MUTED)
        for number, (view, weight) in enumerate(points):
            x = MARGIN + head + number * step
            if view.source is None:
                picture(axes, None, x, y, side)
            else:
                _draw(axes, view.source, view.box, x, y, side)
            axes.add_patch(Rectangle((x, y + side + 0.07), side * weight / largest, 0.09, color=FOR))
            words = f"{weight:.2f} × prototype {view.index}"
            text(axes, x, y + side + 0.25, words, ha="left", size=7.5, color=MUTED)
    note = ["Points that a fully present prototype gives to a class", *more(left_out, "class", "classes")]
    below = MARGIN + len(classes) * line + 0.1
    text(axes, MARGIN, below, " · ".join(note), ha="left", size=8, color=MUTED)
    return figure


def sizes_figure(by_class: NDArray[np.int64], by_image: NDArray[np.int64]) -> Figure:
    """How many prototypes a class has, and how many count for an answer, as two histograms.

    Args:
        by_class: (C,).
        by_image: (N,).
    """
    figure = new_figure(7.4, 2.7)
    panels = (
        (by_class, "prototypes of a class", "classes"),
        (by_image, "prototypes that count for an answer", "images"),
    )
    for number, (counts, what, of) in enumerate(panels):
        axes = place(figure, 0.6 + number * 3.65, 0.2, 2.95, 1.85)
        top = int(counts.max(initial=0))
        width = max(1, -(-(top + 1) // 30))
        bins = np.arange(0, top + 1 + width, width) - 0.5
        axes.hist(counts, bins=bins.tolist(), color=FOR, rwidth=0.85)
        axes.set_xlabel(what, fontsize=8.5)
        axes.set_ylabel(of, fontsize=8.5)
        axes.tick_params(labelsize=7.5, colors=MUTED)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        for edge, spine in axes.spines.items():
            spine.set_visible(edge in ("left", "bottom"))
            spine.set_color(FAINT)
    return figure


def figures(model: PIPNet, material: FigureInputs) -> dict[str, PaperFigure]:
    """All figures of a trained model, by what they show.

    Args:
        model: trained.
        material: the training images, if they are at hand, show the prototypes; others are counted in.
    """
    model.eval()
    names, weights = model.spec.classes, model.weights().detach().cpu()
    counts = weights > SHRINK
    found: dict[str, PaperFigure] = {}
    order = weights.sum(dim=0).argsort(descending=True, stable=True).tolist()
    places = {} if material.train is None else top_places(model, material.train, order[:SHOWN])
    places = {p: spots for p, spots in places.items() if spots}  # a prototype may be present nowhere
    if places:
        heads = {p: _speaks_for(weights[:, p].numpy(), names) for p in places}
        found["Prototypes"] = PaperFigure(
            patches_figure(places, len(order), heads),
            "The prototypes with the largest weights. A good one shows the same thing in all of its patches.",
        )
    views = prototype_views(model)
    rows = []
    for c in range(min(len(names), CLASSES)):
        chosen = weights[c].argsort(descending=True, stable=True).tolist()[: int(counts[c].sum())]
        points = [(views[p], float(weights[c, p])) for p in chosen[:POINTS]]
        rows.append((names[c], points, len(chosen) - len(points)))
    sparse = 1 - float(counts.float().mean())
    found["Scoring sheet"] = PaperFigure(
        sheet_figure(rows, len(names) - len(rows)),
        f"{len(views)} prototypes; {100 * sparse:.1f} % of the weights are zero. Scores are sums of presence × weight.",
    )
    if len(material.source):
        sizes, abstained = _local_sizes(model, material.source)
        found["How many prototypes decide"] = PaperFigure(
            sizes_figure(counts.sum(dim=1).numpy(), sizes),
            f"A class has {float(counts.sum(dim=1).float().mean()):.1f} prototypes, an answer rests on "
            f"{sizes.mean():.1f} (means; {len(sizes)} images). No answer to {abstained} of them.",
        )
    return found


@torch.no_grad()
def _local_sizes(model: PIPNet, source: Source) -> tuple[NDArray[np.int64], int]:
    """Prototypes that count for the answer to each image, and how many images have none."""
    chosen = np.linspace(0, len(source) - 1, min(COUNTED, len(source))).round().astype(np.int64)
    sizes, abstained = [], 0
    for batch in loader(ImageDataset(Subset(source, chosen), model.spec.image), 64):
        output = model(batch.images.to(model.device))
        contributions = model.evidence(output, output.scores.argmax(dim=1)).contributions
        sizes.append((contributions > SHRINK).sum(dim=1).cpu())
        abstained += int(model.abstains(output).sum())
    return torch.cat(sizes).numpy(), abstained


def _speaks_for(weights: NDArray[np.float32], names: Sequence[str]) -> list[str]:
    """The classes that a prototype has most weight for, in a few lines."""
    order = np.argsort(-weights, kind="stable")
    shown = [f"{plain(names[c], 20)}: {weights[c]:.1f}" for c in order[:2] if weights[c] > SHRINK]
    more = int((weights > SHRINK).sum()) - len(shown)
    return (shown or ["for no class"]) + [f"and {more} more"] * (more > 0)
