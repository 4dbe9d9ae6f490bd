"""The figures of PIP-Net's paper (Nauta et al. 2023): what prototypes show, scoring sheets, and how few decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from resemblance.core.catalogue import PrototypeView, prototype_views
from resemblance.core.gallery import Box, Pixels
from resemblance.core.intake import as_picture
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import loader
from resemblance.data.source import Source, Subset
from resemblance.methods.pipnet import SHRINK, PIPNet
from resemblance.report.paper import Drawn, Material
from resemblance.report.style import FAINT, FOR, MUTED, SMALL, draw_box, new_figure, place, plain, show, write

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
    examples, strengths = model.examples.cpu(), model.strengths.cpu()
    wanted = sorted({index for p in chosen for index in examples[p].tolist() if index >= 0})
    if not wanted or wanted[-1] >= len(train):
        return {}
    found: dict[int, list[tuple[float, Place]]] = {p: [] for p in chosen}
    for images, _, indices in loader(ImageDataset(train, model.spec.image), 64, sampler=wanted):
        maps = model.similarity_maps(model.latents(images.to(model.device)))
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
                    boxes = model.boxes_at(cell[None], grid)
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
    head = 1.95
    figure = new_figure(
        MARGIN * 2 + head + widest * (SIDE + GAP), 2 * MARGIN + len(places) * (SIDE + GAP) + 0.3
    )
    for row, (p, spots) in enumerate(places.items()):
        y = MARGIN + row * (SIDE + GAP)
        lines = heads[p]
        top = y + SIDE / 2 - 0.1 - 0.07 * len(lines)
        write(figure, MARGIN, top, f"prototype {p}", fontweight="bold")
        for number, line in enumerate(lines):
            write(figure, MARGIN, top + 0.18 + 0.14 * number, line, fontsize=7.5, color=MUTED)
        _row(figure, MARGIN + head, y, spots)
    note = "Patches of training images in which each prototype is most present, from the left"
    if len(places) < count:
        note += f" · {count - len(places)} more prototypes not shown"
    write(figure, MARGIN, MARGIN + len(places) * (SIDE + GAP) + 0.08, note, fontsize=8, color=MUTED)
    return figure


def _row(figure: Figure, x: float, y: float, spots: Sequence[Place]) -> None:
    """Patches, or small images with their patches framed, as one picture: hundreds of axes would take seconds."""
    if not spots:
        return
    small = max(spots[0].image.shape[:2]) <= SMALL
    parts = [
        s.image if small else _enlarged(s.image[s.box[1] : s.box[3], s.box[0] : s.box[2]]) for s in spots
    ]
    height, width = parts[0].shape[:2]
    gap = max(1, round(GAP / SIDE * width))
    sheet = np.full((height, len(parts) * (width + gap) - gap, 3), 255, np.uint8)
    for number, part in enumerate(parts):
        sheet[:, number * (width + gap) : number * (width + gap) + width] = part
    axes = place(figure, x, y, len(parts) * (SIDE + GAP) - GAP, SIDE)
    axes.set_axis_off()
    axes.imshow(sheet, interpolation="nearest" if small else "bilinear", aspect="equal")
    axes.set_anchor("NW")
    if small:
        for number, spot in enumerate(spots):
            x0, y0, x1, y1 = spot.box
            left = number * (width + gap)
            draw_box(axes, (x0 + left, y0, x1 + left, y1))


def _enlarged(patch: Pixels) -> Pixels:
    """A patch of a large image, smooth within and with sharp edges beside others."""
    return np.asarray(Image.fromarray(patch).resize((96, 96), Image.Resampling.BICUBIC))


def sheet_figure(
    classes: Sequence[tuple[str, Sequence[tuple[PrototypeView, float]], int]], left_out: int
) -> Figure:
    """The scoring sheet: a row a class, its weightiest prototypes with their weights.

    Args:
        classes: name, prototypes with weights, the largest first, and how many more there are.
        left_out: how many classes are not drawn.
    """
    side, step, head = 0.95, 1.5, 1.6
    columns = max([1, *(len(points) for _, points, _ in classes)])
    figure = new_figure(MARGIN * 2 + head + columns * step, 2 * MARGIN + len(classes) * (side + 0.55) + 0.25)
    largest = max([1e-12, *(weight for _, points, _ in classes for _, weight in points)])
    for row, (name, points, more) in enumerate(classes):
        y = MARGIN + row * (side + 0.55)
        write(figure, MARGIN, y + side / 2 - 0.2, plain(name, 18), fontweight="bold", fontsize=10)
        if not points:
            write(figure, MARGIN + head, y + side / 2, "no prototype", color=MUTED)
        if more:
            write(figure, MARGIN, y + side / 2 + 0.05, f"and {more} more", color=MUTED, fontsize=8)
        for number, (view, weight) in enumerate(points):
            x = MARGIN + head + number * step
            small = view.source is not None and max(view.source.shape[:2]) <= SMALL
            if small:
                show(figure, x, y, side, view.source, view.box)
            else:
                show(figure, x, y, side, view.picture, whole=view.source)
            axes = place(figure, x, y + side + 0.06, side, 0.1)
            axes.barh([0], [weight], color=FOR, height=1.0)
            axes.set_xlim(0, largest)
            axes.axis("off")
            text = f"{weight:.2f} × prototype {view.index}"
            write(figure, x, y + side + 0.18, text, fontsize=7.5, color=MUTED)
    note = "Points that a fully present prototype gives to a class"
    if left_out:
        note += f" · {left_out} more classes not shown"
    write(figure, MARGIN, MARGIN + len(classes) * (side + 0.55) + 0.05, note, fontsize=8, color=MUTED)
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


def figures(model: PIPNet, material: Material) -> dict[str, Drawn]:
    """All figures of a trained model, by what they show.

    Args:
        model: trained.
        material: the training images, if they are at hand, show the prototypes; others are counted in.
    """
    model.eval()
    names, weights = model.spec.classes, model.weights().detach().cpu()
    counts = weights > SHRINK
    found: dict[str, Drawn] = {}
    order = weights.sum(dim=0).argsort(descending=True, stable=True).tolist()
    places = {} if material.train is None else top_places(model, material.train, order[:SHOWN])
    if places:
        heads = {p: _speaks_for(weights[:, p].numpy(), names) for p in places}
        found["Prototypes"] = Drawn(
            patches_figure(places, len(order), heads),
            "The prototypes with the largest weights. A good one shows the same thing in all of its patches.",
        )
    views = prototype_views(model)
    sheet = []
    for c in range(min(len(names), CLASSES)):
        chosen = weights[c].argsort(descending=True, stable=True).tolist()[: int(counts[c].sum())]
        points = [(views[p], float(weights[c, p])) for p in chosen[:POINTS]]
        sheet.append((names[c], points, len(chosen) - len(points)))
    sparse = 1 - float(counts.float().mean())
    found["Scoring sheet"] = Drawn(
        sheet_figure(sheet, len(names) - len(sheet)),
        f"{len(views)} prototypes; {100 * sparse:.1f} % of the weights are zero. Scores are sums of presence × weight.",
    )
    if len(material.source):
        sizes, abstained = _local_sizes(model, material.source)
        found["How many prototypes decide"] = Drawn(
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
