"""Example pictures of a change: the versions, two of them with their maps, and their similarities as paired bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from resemblance.audit.audited import AuditSubject
from resemblance.audit.places.place_aims import pair_maps
from resemblance.audit.shifts.image_changes import CHANGES
from resemblance.audit.shifts.reason_agreement import Agreement, Reasons, overlap
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.inputs import as_picture
from resemblance.drawing.paired_bars import STRONGEST, PairedValues, paired_bars
from resemblance.drawing.style import png
from resemblance.drawing.version_pair import PairVersion, version_pair, version_sheet
from resemblance.explain.prototype_view import prototype_views
from resemblance.metrics.suite.result import number
from resemblance.prototypes.maps import upsample

JPEG = 1 + list(CHANGES).index("jpeg")  # among the versions, of which the first is unchanged


def chosen_rows(jpeg: Agreement, correct: Tensor | None) -> list[int]:
    """Return the images of a batch to show: the one that JPEG changes most, and the first one.

    Args:
        jpeg: the agreement of the unchanged images with the compressed ones, (B,).
        correct: (B,) bool, only these are shown if there are some; None for all.
    """
    usable = torch.ones_like(jpeg.kept, dtype=torch.bool) if correct is None or not correct.any() else correct
    change = jpeg.overlap.nan_to_num(1.0) + 1e-3 * jpeg.rank_correlation.nan_to_num(1.0)
    most = int(change.masked_fill(~usable, torch.inf).argmin())
    first = int(usable.int().argmax())
    return [most] if most == first else [most, first]


def shift_examples(
    subject: AuditSubject, images: Tensor, versions: Sequence[Reasons], rows: Sequence[int]
) -> list[dict[str, Any]]:
    """Return pictures of some images of a batch, as plain values that a record can hold.

    Args:
        subject: the model and its settings.
        images: (V, B, C, H, W) in [0, 1], all versions, the first unchanged.
        versions: the model's reasons for each version.
        rows: the images to show, the one that JPEG changes most first.
    """
    model = subject.explains
    assert model is not None
    name = f"JPEG, quality {CHANGES['jpeg'].strength:g}"
    most = rows[0]
    examples = [
        _pair(model, images[[0, JPEG], most], [versions[0], versions[JPEG]], most, name, "changes most")
    ]
    bars = paired_bars(
        [PairedValues(subject.name, *(versions[v].similarities[most].numpy() for v in (0, JPEG)))],
        ("the unchanged image", "the compressed image"),
        model.traits.words.many,
    )
    few = min(STRONGEST, len(model.prototypes))
    examples.append(
        _example(
            "Similarities with and without JPEG, of the image that it changes most",
            bars,
            f"Left: the {few} most similar {model.traits.words.many} of the unchanged image (wide bars), and their "
            "similarities after compression (narrow bars); right: the reverse. Where the order stays, both fall from "
            "left to right.",
        )
    )
    examples.append(_sheet(model, images[:, rows[-1]], versions, rows[-1]))
    if len(rows) > 1:
        row = rows[1]
        examples.append(_pair(model, images[[0, JPEG], row], [versions[0], versions[JPEG]], row, name, ""))
    return examples[: subject.settings.examples]


def pair_figure(
    model: PrototypeModel, images: Tensor, versions: Sequence[Reasons], row: int, names: Sequence[str]
) -> Figure:
    """Draw two versions of an image with the most similar prototype of the first one, and its similarity to both.

    The maps share the minimum and maximum of the first one, so that equal colours are equal similarities.
    Source: Hoffmann et al. 2021, figure 2.

    Args:
        model: the model.
        images: (2, C, H, W) in [0, 1].
        versions: the model's reasons for both versions of a batch.
        row: the number of the image in the batch.
        names: of both versions.
    """
    top = int(versions[0].similarities[row].argmax())
    classes = model.spec.classes
    heats = _heats(model, images, top)
    parts = [
        PairVersion(
            name,
            as_picture(image),
            None if heats is None else heats[index],
            [
                f"{model.traits.words.similarity} {number(float(version.similarities[row, top]))}",
                f"predicted: {classes[int(version.predicted[row])]}",
            ],
        )
        for index, (name, image, version) in enumerate(zip(names, images, versions, strict=True))
    ]
    [view] = prototype_views(model, [top])
    owner = f"of {view.owner}" if view.classes else ""
    return version_pair(view.title, owner, view.picture, parts)


def _pair(
    model: PrototypeModel, images: Tensor, versions: Sequence[Reasons], row: int, name: str, which: str
) -> dict[str, Any]:
    figure = pair_figure(model, images, versions, row, ["unchanged", name])
    common = float(overlap(versions[0].shown[[row]], versions[1].shown[[row]]))
    title = (
        "The image that JPEG changes most in a sample" if which else "Another image, with and without JPEG"
    )
    maps = "Both maps share the colours of the first one. " if model.prototypes.has_maps else ""
    caption = (
        f"The most similar {model.traits.words.one} of the unchanged image, and its similarity after compression. "
        f"{maps}Of the {model.traits.words.many} shown for the prediction, {_share(common)} stay."
    )
    return _example(title, figure, caption)


def _sheet(model: PrototypeModel, images: Tensor, versions: Sequence[Reasons], row: int) -> dict[str, Any]:
    classes = model.spec.classes
    names = ["unchanged", *(change.title for change in CHANGES.values())]
    captions = []
    for name, version in zip(names, versions, strict=True):
        common = float(overlap(versions[0].shown[[row]], version.shown[[row]]))
        lines = [name, f"predicted: {classes[int(version.predicted[row])]}"]
        captions.append([*lines, f"{_share(common)} the same"] if name != "unchanged" else lines)
    figure = version_sheet([as_picture(image) for image in images], captions)
    words = model.traits.words.many
    return _example(
        "One image after each change", figure, f"Below each: the share of the {words} shown that stay."
    )


def _heats(model: PrototypeModel, images: Tensor, top: int) -> list[np.ndarray[Any, Any]] | None:
    """Return the similarity maps (H, W) of a prototype; None if it compares whole images."""
    if not model.prototypes.has_maps:
        return None
    with torch.no_grad():
        output = model(images)
        which = torch.full((len(images),), top, device=images.device)
        maps = pair_maps(model, output.latents, torch.arange(len(images), device=images.device), which)
        if not maps:  # of an ensemble, whose other members have maps
            return None
        return list(upsample(maps[0].cells, (images.shape[2], images.shape[3])).float().cpu().numpy())


def _share(value: float) -> str:
    return "none" if np.isnan(value) else f"{100 * value:.0f} %"


def _example(title: str, figure: Figure, caption: str) -> dict[str, Any]:
    data = torch.frombuffer(bytearray(png(figure)), dtype=torch.uint8)
    return {"title": title, "png": data, "caption": caption}
