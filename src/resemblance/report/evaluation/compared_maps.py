"""Draw the relevance maps of the black box and of every model for the same images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from resemblance.config.errors import UserError
from resemblance.config.relevance import MAP_NAMES
from resemblance.core.classifier import Classifier
from resemblance.data.dataset import ImageDataset
from resemblance.data.images import Pixels
from resemblance.data.inputs import pixels
from resemblance.drawing.matrix import SIGNED
from resemblance.drawing.sheet import picture, sheet, text
from resemblance.drawing.style import MUTED, inches, plain, write
from resemblance.encoders.probe import evaluating
from resemblance.metrics.suite.subject import Subject
from resemblance.relevance.maps import class_maps
from resemblance.runs.kmex_beside import Evaluated

SIDE, GAP, MARGIN, NAME = 1.15, 0.1, 0.3, 1.0  # inches; names take more where they are longer
LONGEST_NAME = 36  # characters


def compared_maps(runs: Sequence[Evaluated], count: int) -> tuple[Figure, str]:
    """Draw images, and below each the maps by the black box and by each model, for the class that it predicts.

    All maps are for the class that the black box predicts, or without a black box, the first model. For models that
    were asked for similarity maps, which belong to prototypes, they are SmoothGrad maps. A model without a map of the
    kind has an empty row, with the reason in the caption.

    Args:
        runs: the runs; KMEx conversions among them are drawn too.
        count: the number of images.

    Returns:
        The figure and its caption.
    """
    first = runs[0].subject
    kind = first.class_kind
    models: dict[str, Classifier] = {}
    black_box = next((run.subject.black_box for run in runs if run.subject.black_box is not None), None)
    if black_box is not None and not any(run.subject.model is black_box for run in runs):
        models["black box"] = black_box
    models |= {run.measured.name: run.subject.model for run in runs}
    reference = black_box or first.model
    count = min(count, len(first.images))
    batch = ImageDataset(first.images, reference.spec.image).__getitems__(range(count))
    with torch.no_grad(), evaluating(reference):
        classes = reference(batch.images.to(reference.device)).scores.argmax(dim=1).cpu()
    rows: dict[str, NDArray[np.float32] | str] = {}
    for name, model in models.items():
        rows[name] = _maps_of(model, first, classes, count, kind)
    names = [first.model.spec.classes[index] for index in classes.tolist()]
    figure = maps_figure([pixels(image) for image in batch.images], names, rows)
    title = next(title for name, title in MAP_NAMES.items() if name == kind)
    caption = (
        f"{title} maps of the same images, for the class that {_reference(black_box, runs)} predicts. "
        "Blue speaks for the class, red against it; each map is scaled by its own largest value: colours compare "
        "places, not models."
    )
    reasons = [f"{name}: {row}." for name, row in rows.items() if isinstance(row, str)]
    return figure, " ".join([caption, *reasons])


def maps_figure(
    images: Sequence[Pixels], classes: Sequence[str], rows: dict[str, NDArray[np.float32] | str]
) -> Figure:
    """Draw images in a row, with the maps of each model in a row below.

    Args:
        images: uint8 pictures.
        classes: the class of each map.
        rows: name of the model → maps (B, H, W), or why there are none.
    """
    step = SIDE + GAP
    names = max([NAME, *(inches(plain(name, LONGEST_NAME), 9) + 0.2 for name in rows)])
    width = max(MARGIN * 2 + names + len(images) * step, 4.5)
    figure, axes = sheet(width, MARGIN * 2 + 0.3 + (1 + len(rows)) * step, unit=1)
    left, top = MARGIN + names, MARGIN + 0.3
    write(figure, MARGIN, top + SIDE / 2 - 0.08, "image", fontsize=9)
    for column, (image, name) in enumerate(zip(images, classes, strict=True)):
        text(axes, left + column * step + SIDE / 2, top - 0.12, plain(name, 16), size=8, color=MUTED)
        picture(axes, image, left + column * step, top, SIDE)
    for number, (name, maps) in enumerate(rows.items(), start=1):
        y = top + number * step
        write(figure, MARGIN, y + SIDE / 2 - 0.08, plain(name, LONGEST_NAME), fontsize=9)
        for column in range(len(images)):
            drawn = None if isinstance(maps, str) else signed_picture(maps[column], images[column])
            picture(axes, drawn, left + column * step, y, SIDE)
    return figure


def signed_picture(relevance: NDArray[np.float32], image: Pixels) -> Pixels:
    """Draw a signed map (H, W) in red and blue over the faint image; white where it is zero.

    Example:
        >>> signed_picture(np.eye(2, dtype=np.float32), np.zeros((2, 2, 1), np.uint8)).shape
        (2, 2, 3)
    """
    largest = float(np.abs(relevance).max())
    scaled = relevance / largest if np.isfinite(largest) and largest > 0 else np.zeros_like(relevance)
    colours = np.asarray(SIGNED((scaled + 1) / 2))[..., :3] * 255
    grey = np.asarray(image, dtype=np.float32).mean(axis=2, keepdims=True)
    mixed: Pixels = (0.85 * colours + 0.15 * grey).round().astype(np.uint8)
    return mixed


def _maps_of(
    model: Classifier, subject: Subject, classes: torch.Tensor, count: int, kind: str
) -> NDArray[np.float32] | str:
    settings = subject.settings
    images = ImageDataset(subject.images, model.spec.image).__getitems__(range(count)).images
    try:
        maps = class_maps(
            model,
            images.to(model.device),
            classes.to(model.device),
            kind,
            definition=settings.definition,
            seed=settings.seed,
        )
    except UserError as error:
        return str(error)
    return maps.detach().cpu().float().numpy()


def _reference(black_box: Classifier | None, runs: Sequence[Evaluated]) -> str:
    return "the black box" if black_box is not None else runs[0].measured.name
