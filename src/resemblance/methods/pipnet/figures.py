"""The figures of PIP-Net's paper (Nauta et al. 2023): patches of prototypes, scoring sheets, numbers of prototypes."""

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

SHOWN, CLASSES, POINTS = 24, 6, 6  # the most prototypes; classes of a scoring sheet, and prototypes of each
COUNTED = 1000  # the most images in which present prototypes are counted
SIDE, GAP, MARGIN = 0.72, 0.07, 0.25  # inches


@dataclass(frozen=True)
class ExamplePatch:
    """A training image and the patch of it that shows a prototype."""

    image: Pixels
    box: Box


@torch.no_grad()
def top_patches(model: PIPNet, train: Source, chosen: Sequence[int]) -> dict[int, list[ExamplePatch]]:
    """Return the training images with the largest presences of prototypes, largest first, where these are present.

    Args:
        model: trained.
        train: the training images.
        chosen: indices of prototypes.

    Returns:
        Patches by prototype; empty if ``train`` is not the images that the model was trained on.
    """
    examples, strengths = model.prototypes.examples.cpu(), model.prototypes.strengths.cpu()
    needed = sorted({index for p in chosen for index in examples[p].tolist() if index >= 0})
    if not needed or needed[-1] >= len(train):
        return {}
    ranked: dict[int, list[tuple[float, ExamplePatch]]] = {p: [] for p in chosen}
    for images, _, indices in loader(ImageDataset(train, model.spec.image), 64, sampler=needed):
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
                    ranked[p].append((known, ExamplePatch(picture, (x0, y0, x1, y1))))
    return {
        p: [patch for _, patch in sorted(pairs, key=lambda pair: -pair[0])] for p, pairs in ranked.items()
    }


def patches_figure(patches: dict[int, list[ExamplePatch]], count: int, heads: dict[int, list[str]]) -> Figure:
    """Draw the patches in which each prototype is most present, one row per prototype (figures 1 and 6 of the paper).

    Small images are drawn whole with the patch framed: a few pixels alone are not recognisable.

    Args:
        patches: patches by prototype.
        count: number of all prototypes; those that are not shown are counted at the bottom.
        heads: for each prototype, the lines below its number.
    """
    widest = max([1, *(len(row_patches) for row_patches in patches.values())])
    head, step = 1.95, SIDE + GAP
    figure, axes = sheet(MARGIN * 2 + head + widest * step, 2 * MARGIN + len(patches) * step + 0.3, unit=1)
    for row, (p, row_patches) in enumerate(patches.items()):
        y, lines = MARGIN + row * step, heads[p]
        middle = y + SIDE / 2 - 0.07 * len(lines)
        text(axes, MARGIN, middle, f"prototype {p}", ha="left", fontweight="bold")
        for number, line in enumerate(lines):
            text(axes, MARGIN, middle + 0.18 + 0.14 * number, line, ha="left", size=7.5, color=MUTED)
        for column, patch in enumerate(row_patches):
            _draw(axes, patch.image, patch.box, MARGIN + head + column * step, y, SIDE)
    note = ["Patches of training images with the largest presences of each prototype, largest first"]
    note += more(count - len(patches), "prototype")
    below = MARGIN + len(patches) * step + 0.15
    text(axes, MARGIN, below, " · ".join(note), ha="left", size=8, color=MUTED)
    return figure


def _draw(axes: Axes, image: Pixels, box: Box | None, left: float, top: float, side: float) -> None:
    """Draw the patch of a large image, or the whole of a small one with the patch framed."""
    if box is None or max(image.shape[:2]) <= SMALL:
        picture(axes, image, left, top, side, box=box)
    else:
        picture(axes, image[box[1] : box[3], box[0] : box[2]], left, top, side, whole=image)


def sheet_figure(
    classes: Sequence[tuple[str, Sequence[tuple[PrototypeView, float]], int]], left_out: int
) -> Figure:
    """Draw the scoring sheet: one row per class, with its prototypes of the largest weights.

    Args:
        classes: name, prototypes with weights, the largest first, and the number of further prototypes.
        left_out: number of classes that are not drawn.
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
    """Draw two histograms: prototypes per class, and prototypes that contribute to a prediction.

    Args:
        by_class: (C,), number of prototypes of each class.
        by_image: (N,), number of prototypes that contribute to the prediction of each image.
    """
    figure = new_figure(7.4, 2.7)
    panels = (
        (by_class, "prototypes of a class", "classes"),
        (by_image, "prototypes that count for a prediction", "images"),
    )
    for number, (counts, horizontal, vertical) in enumerate(panels):
        axes = place(figure, 0.6 + number * 3.65, 0.2, 2.95, 1.85)
        top = int(counts.max(initial=0))
        width = max(1, -(-(top + 1) // 30))
        bins = np.arange(0, top + 1 + width, width) - 0.5
        axes.hist(counts, bins=bins.tolist(), color=FOR, rwidth=0.85)
        axes.set_xlabel(horizontal, fontsize=8.5)
        axes.set_ylabel(vertical, fontsize=8.5)
        axes.tick_params(labelsize=7.5, colors=MUTED)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        for edge, spine in axes.spines.items():
            spine.set_visible(edge in ("left", "bottom"))
            spine.set_color(FAINT)
    return figure


def figures(model: PIPNet, inputs: FigureInputs) -> dict[str, PaperFigure]:
    """Draw all figures of a trained model, by title.

    Args:
        model: trained.
        inputs: training images, if available, which show the prototypes; a source in which prototypes are counted.
    """
    model.eval()
    names, weights = model.spec.classes, model.weights().detach().cpu()
    counts = weights > SHRINK
    by_title: dict[str, PaperFigure] = {}
    order = weights.sum(dim=0).argsort(descending=True, stable=True).tolist()
    patches = {} if inputs.train is None else top_patches(model, inputs.train, order[:SHOWN])
    patches = {
        p: row_patches for p, row_patches in patches.items() if row_patches
    }  # a prototype may be present in no image
    if patches:
        heads = {p: _best_classes(weights[:, p].numpy(), names) for p in patches}
        by_title["Prototypes"] = PaperFigure(
            patches_figure(patches, len(order), heads),
            "The prototypes with the largest weights. A good prototype shows the same thing in all of its patches.",
        )
    views = prototype_views(model)
    rows = []
    for c in range(min(len(names), CLASSES)):
        chosen = weights[c].argsort(descending=True, stable=True).tolist()[: int(counts[c].sum())]
        points = [(views[p], float(weights[c, p])) for p in chosen[:POINTS]]
        rows.append((names[c], points, len(chosen) - len(points)))
    sparse = 1 - float(counts.float().mean())
    by_title["Scoring sheet"] = PaperFigure(
        sheet_figure(rows, len(names) - len(rows)),
        f"{len(views)} prototypes; {100 * sparse:.1f} % of the weights are zero. Scores are sums of presence × weight.",
    )
    if len(inputs.source):
        sizes, abstained = _count_used(model, inputs.source)
        by_title["How many prototypes decide"] = PaperFigure(
            sizes_figure(counts.sum(dim=1).numpy(), sizes),
            f"A class has {float(counts.sum(dim=1).float().mean()):.1f} prototypes, a prediction uses "
            f"{sizes.mean():.1f} (means over {len(sizes)} images). The model abstains for {abstained} of the images.",
        )
    return by_title


@torch.no_grad()
def _count_used(model: PIPNet, source: Source) -> tuple[NDArray[np.int64], int]:
    """Count the prototypes that contribute to the prediction of each image, and the images without prediction."""
    chosen = np.linspace(0, len(source) - 1, min(COUNTED, len(source))).round().astype(np.int64)
    sizes, abstained = [], 0
    for batch in loader(ImageDataset(Subset(source, chosen), model.spec.image), 64):
        output = model(batch.images.to(model.device))
        contributions = model.evidence(output, output.scores.argmax(dim=1)).contributions
        sizes.append((contributions > SHRINK).sum(dim=1).cpu())
        abstained += int(model.abstains(output).sum())
    return torch.cat(sizes).numpy(), abstained


def _best_classes(weights: NDArray[np.float32], names: Sequence[str]) -> list[str]:
    """Return the classes for which a prototype has the largest weights, as lines of text."""
    order = np.argsort(-weights, kind="stable")
    shown = [f"{plain(names[c], 20)}: {weights[c]:.1f}" for c in order[:2] if weights[c] > SHRINK]
    more = int((weights > SHRINK).sum()) - len(shown)
    return (shown or ["for no class"]) + [f"and {more} more"] * (more > 0)
