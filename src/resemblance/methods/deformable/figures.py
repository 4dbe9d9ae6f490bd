"""The figures of Deformable ProtoPNet: where the parts of prototypes move to, in some images and in their sources.

Donnelly et al. 2022 draw one box per part, of the size of a cell of the map, in a colour of its own: figure 1 for one
image next to the prototypes that it resembles, figure 5 for one prototype in several images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor

from resemblance.data.images import Pixels
from resemblance.data.inputs import as_picture
from resemblance.drawing.cut import more
from resemblance.drawing.style import INK, MUTED, new_figure, plain, show, write
from resemblance.encoders.probe import evaluating
from resemblance.explain.rounding import signed
from resemblance.methods.deformable.model import Deformable
from resemblance.methods.paper_figures import FigureInputs, PaperFigure

IMAGES = 4  # explained at most
REASONS = 3  # per image
CLASSES = 4  # one prototype of each is shown in several images
CLASS_IMAGES = 4  # per such prototype
MARGIN, SIDE, GAP = 0.3, 1.35, 0.14
# Nine colours that differ clearly on any image; similar to the authors'.
COLOURS = (
    "#e6194b",
    "#3cb44b",
    "#ffe119",
    "#0082c8",
    "#f58230",
    "#46f0f0",
    "#f032e6",
    "#9e7bff",
    "#c49a6c",
)

Boxed = tuple[Pixels | None, NDArray[np.float64]]  # an image and the boxes (ρ, 4) of the parts in it


def colours(parts: int) -> list[str]:
    """Return one colour per part.

    Example:
        >>> colours(2), len(set(colours(25)))
        (['#e6194b', '#3cb44b'], 25)
    """
    if parts <= len(COLOURS):
        return list(COLOURS[:parts])
    return [to_hex(colormaps["turbo"](i / (parts - 1))) for i in range(parts)]


def parts_figure(
    rows: Sequence[tuple[Pixels, str, str, Sequence[tuple[Boxed, Boxed, str, str]]]],
) -> Figure:
    """Draw images, each next to the prototypes that it resembles.

    Args:
        rows: an image, two lines of text, and its reasons: the image with the boxes of the parts, the prototype's
            source with them, and two lines of text.

    Example:
        >>> boxed = (np.zeros((8, 8, 3), np.uint8), np.array([[0, 0, 2, 2]]))
        >>> row = (boxed[0], "a.png", "cat", [(boxed, boxed, "prototype 3, cat", "0.9 × 1 = +0.9")])
        >>> parts_figure([row]).savefig("parts.png")  # doctest: +SKIP
    """
    reasons = max((len(row[3]) for row in rows), default=0)
    block, height = 2 * SIDE + GAP + 0.35, SIDE + 0.62
    width = 2 * MARGIN + SIDE + 0.35 + reasons * block - 0.35
    figure = new_figure(max(width, 4.5), 2 * MARGIN + 0.28 + len(rows) * height)
    write(figure, MARGIN, MARGIN - 0.06, "image", color=MUTED, fontsize=8)
    for number in range(reasons):
        left = MARGIN + SIDE + 0.35 + number * block
        write(figure, left, MARGIN - 0.06, "these parts …", color=MUTED, fontsize=8)
        write(figure, left + SIDE + GAP, MARGIN - 0.06, "… resemble these", color=MUTED, fontsize=8)
    for number, (image, first, second, image_reasons) in enumerate(rows):
        top = MARGIN + 0.18 + number * height
        show(figure, MARGIN, top, SIDE, image)
        write(figure, MARGIN, top + SIDE + 0.07, plain(first, 20), fontsize=8.5, fontweight="bold")
        write(figure, MARGIN, top + SIDE + 0.25, plain(second, 24), fontsize=8, color=MUTED)
        for k, (here, source, about, numbers) in enumerate(image_reasons):
            left = MARGIN + SIDE + 0.35 + k * block
            _boxed(figure, left, top, here)
            _boxed(figure, left + SIDE + GAP, top, source)
            write(figure, left, top + SIDE + 0.07, plain(about, 44), fontsize=8.5, fontweight="bold")
            write(figure, left, top + SIDE + 0.25, numbers, fontsize=8.5, color=INK)
    return figure


def prototypes_figure(rows: Sequence[tuple[str, Boxed, Sequence[tuple[Boxed, str]]]]) -> Figure:
    """Draw prototypes in their sources and in other images.

    Args:
        rows: a line about the prototype, its source with the boxes of the parts, and other images with a line each.
    """
    most = max((len(row[2]) for row in rows), default=0)
    height = SIDE + 0.68
    width = 2 * MARGIN + SIDE + 0.35 + most * (SIDE + GAP) - GAP
    figure = new_figure(max(width, 4.5), 2 * MARGIN + len(rows) * height)
    for number, (about, source, others) in enumerate(rows):
        top = MARGIN + number * height
        write(figure, MARGIN, top, plain(about, 60), fontsize=9, fontweight="bold")
        _boxed(figure, MARGIN, top + 0.22, source)
        write(figure, MARGIN, top + SIDE + 0.27, "its source", fontsize=8, color=MUTED)
        for k, (boxed, text) in enumerate(others):
            left = MARGIN + SIDE + 0.35 + k * (SIDE + GAP)
            _boxed(figure, left, top + 0.22, boxed)
            write(figure, left, top + SIDE + 0.27, plain(text, 22), fontsize=8, color=MUTED)
    return figure


def _boxed(figure: Figure, x: float, y: float, boxed: Boxed) -> None:
    pixels, boxes = boxed
    axes: Axes = show(figure, x, y, SIDE, pixels)
    if pixels is None:
        return
    height, width = pixels.shape[:2]
    for (x0, y0, x1, y1), colour in zip(boxes, colours(len(boxes)), strict=True):
        x0, x1 = np.clip((x0, x1), 0, width)
        y0, y1 = np.clip((y0, y1), 0, height)
        if x1 <= x0 or y1 <= y0:
            continue  # outside the image, where a part reads zeros
        for edge, line in (("black", 2.4), (colour, 1.3)):
            frame = (x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0
            axes.add_patch(Rectangle(*frame, fill=False, edgecolor=edge, linewidth=line))


def figures(model: Deformable, inputs: FigureInputs) -> dict[str, PaperFigure]:
    """Draw some images with the parts that count for their class, and some prototypes in several images, by title.

    Args:
        model: trained; with a gallery the sources are shown.
        inputs: the images to explain, and a source of images of each class.
    """
    with torch.no_grad(), evaluating(model):
        by_title = {}
        if len(inputs.images):
            by_title["Deformable prototypes"] = _explained(model, inputs)
        prototypes = _prototypes_in_images(model, inputs)
        if prototypes is not None:
            by_title["One prototype in several images"] = prototypes
        return by_title


def _explained(model: Deformable, inputs: FigureInputs) -> PaperFigure:
    images = inputs.images[:IMAGES].to(model.device)
    output = model(images)
    predicted = output.scores.argmax(dim=1)
    evidence, cells = model.evidence(output, predicted), model.prototypes.match(output.latents).cells
    assert output.similarities is not None
    assert evidence.weights is not None
    rows = []
    for i, image in enumerate(images):
        name, true = (model.spec.classes[int(c)] for c in (predicted[i], inputs.labels[i]))
        verdict = "correct" if name == true else f"true: {true}"
        reasons = []
        for j in evidence.contributions[i].topk(min(REASONS, len(model.prototypes))).indices.tolist():
            similarity, weight = float(output.similarities[i, j]), float(evidence.weights[i, j])
            value = float(evidence.contributions[i, j])
            if value <= 0:
                continue
            here = (as_picture(image), _boxes(model, output.latents[i : i + 1], int(cells[i, j])))
            numbers = f"{similarity:.3f} × {weight:.3f} = {signed(value, 3)}".replace("-", "−")
            reasons.append((here, _source(model, j), _about(model, j), numbers))
        rows.append((as_picture(image), name, verdict, reasons))
    caption = (
        "Each colour is one part of a prototype: where it moved to in the image, and where it is in the training image "
        "that the prototype was taken from. A part outside the image has no box."
    )
    rest = len(model.prototypes) - REASONS
    if rest > 0:
        others = "1 more prototype counts" if rest == 1 else f"{rest} more prototypes count"
        caption += f" {others} for and against each class."
    return PaperFigure(parts_figure(rows), caption)


def _prototypes_in_images(model: Deformable, inputs: FigureInputs) -> PaperFigure | None:
    """Draw the most used prototype of some classes, in its source and in images of its class."""
    owners, rows = model.prototypes.owners.cpu(), []
    labels = np.asarray([] if inputs.source is None else inputs.source.labels)
    possible = [
        c for c in range(len(model.spec.classes)) if bool(owners[:, c].any()) and bool((labels == c).any())
    ]
    for c in possible[:CLASSES]:
        own = owners[:, c].nonzero().flatten()
        j = int(own[model.prototypes.own_activations.cpu()[own].argmax()])
        chosen = np.flatnonzero(labels == c)[:CLASS_IMAGES].tolist()
        images = torch.stack([inputs.source.tensor(i, model.spec.image) for i in chosen])
        latents = model.latents(images.to(model.device))
        match = model.prototypes.match(latents)
        others = [
            (
                (as_picture(images[n]), _boxes(model, latents[n : n + 1], int(match.cells[n, j]))),
                f"{-float(match.values[n, j]):.3f}",
            )
            for n in range(len(images))
        ]
        rows.append((_about(model, j), _source(model, j), others))
    if not rows:
        return None
    caption = (
        "The most used prototype of a class in images of that class, with its similarity below each image."
    )
    rest = more(int(owners.any(dim=0).sum()) - len(rows), "class", "classes")
    caption += "".join(f" {words}." for words in rest)
    return PaperFigure(prototypes_figure(rows), caption)


def _about(model: Deformable, j: int) -> str:
    names = model.prototypes.owner_names(model.spec.classes, [j])[0]
    return f"prototype {j}, {', '.join(names)}"


def _boxes(model: Deformable, latents: Tensor, cell: int) -> NDArray[np.float64]:
    device = latents.device
    boxes = model.prototypes.part_boxes(
        latents, torch.zeros(1, dtype=torch.int64, device=device), torch.tensor([cell], device=device)
    )
    height, width = model.spec.image.size
    pixels: NDArray[np.float64] = boxes[0].double().cpu().numpy() * (width, height, width, height)
    return pixels


def _source(model: Deformable, j: int) -> Boxed:
    """Return the prototype's source, and the boxes of its parts where it is most similar to the prototype."""
    pixels = None if model.gallery is None else model.gallery[j].image
    if pixels is None:
        return None, np.zeros((0, 4))
    image = torch.tensor(pixels[..., : model.spec.image.channels]).permute(2, 0, 1) / 255
    latents = model.latents(image[None].to(model.device))
    return pixels, _boxes(model, latents, int(model.prototypes.match(latents).cells[0, j]))
