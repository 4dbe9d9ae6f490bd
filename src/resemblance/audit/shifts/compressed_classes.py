"""The experiment with JPEG: what a model that was trained with compressed images of some classes has learnt.

Source: Hoffmann et al. 2021, "This looks like that... does it?", section 4, appendices D and E.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from resemblance.audit.shifts.image_changes import CHANGES
from resemblance.audit.shifts.image_versions import read_versions
from resemblance.audit.shifts.reason_agreement import Agreement, Reasons, agreement, reasons_of
from resemblance.audit.shifts.shift_numbers import mean
from resemblance.config.errors import UserError
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.sources.source import Source
from resemblance.drawing.paired_bars import PairedValues
from resemblance.encoders.probe import evaluating
from resemblance.metrics.suite.result import finite


@dataclass(frozen=True)
class JpegExperiment:
    """The figures of the experiment for one model.

    Args:
        altered_accuracy: on the images of which those of some classes are compressed, as in training (Table 2).
        original_accuracy: on the same images without compression.
        images: the number of images of the compressed classes, from which all that follows is computed.
        compressed_correct: the share of them that is classified correctly when compressed.
        clean_correct: the share that is classified correctly without compression.
        top_compressed: the largest similarity of the compressed image, on average.
        top_clean: the similarity of the unchanged image to the same prototype, on average.
        overlap: the share of the prototypes shown that both have in common; see `shown_prototypes`.
        rank_correlation: Spearman's correlation of the similarities to all prototypes.
        largest_drop: the position of the image whose `top_clean` is lowest against its `top_compressed`, of those that
            are classified correctly when compressed: an example to draw.
    """

    altered_accuracy: float
    original_accuracy: float
    images: int
    compressed_correct: float
    clean_correct: float
    top_compressed: float
    top_clean: float
    overlap: float
    rank_correlation: float
    largest_drop: int

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {
            key: finite(value) if isinstance(value, float) else value for key, value in asdict(self).items()
        }


def jpeg_experiment(
    model: PrototypeModel,
    source: Source,
    classes: Sequence[int],
    *,
    quality: int = 20,
    batch_size: int = 32,
    top: int = 5,
) -> JpegExperiment:
    """Compare the answers for the images of some classes with and without the compression that training had.

    Args:
        model: the model; it stays as it is.
        source: labelled images, none of them compressed for the experiment.
        classes: indices of the classes whose training images were compressed.
        quality: of JPEG, 1 to 95.
        batch_size: images per batch.
        top: the number of prototypes shown; see `shown_prototypes`.

    Raises:
        UserError: if there is no image of these classes.
    """
    chosen = np.isin(source.labels, np.asarray(classes, dtype=np.int64))
    if not chosen.any():
        raise UserError(
            f"none of the {len(source)} images is of a class whose training images were compressed; use other images"
        )
    change = replace(CHANGES["jpeg"], strength=quality)
    correct = np.zeros((2, len(source)), dtype=bool)  # as they are, as altered
    parts: list[Agreement] = []
    with evaluating(model):
        for altered in (False, True):  # images of the other classes have one version
            positions = np.flatnonzero(chosen == altered)
            for start in range(0, len(positions), batch_size):
                part = positions[start : start + batch_size]
                changes = [change] if altered else []
                versions = read_versions(source, part.tolist(), changes, model.spec.image).to(model.device)
                answers = [reasons_of(model, images, top) for images in versions]
                labels = source.labels[part]
                correct[:, part] = np.stack([answers[0].predicted == labels, answers[-1].predicted == labels])
                if altered:
                    parts.append(agreement(answers[1], answers[0]))
    joined = Agreement(*map(torch.cat, zip(*parts, strict=True)))
    rows = np.flatnonzero(chosen)
    drop = (joined.first_top - joined.first_top_after).numpy()
    usable = correct[1, rows] if correct[1, rows].any() else np.ones(len(rows), dtype=bool)
    return JpegExperiment(
        altered_accuracy=float(correct[1].mean()),
        original_accuracy=float(correct[0].mean()),
        images=len(rows),
        compressed_correct=float(correct[1, rows].mean()),
        clean_correct=float(correct[0, rows].mean()),
        top_compressed=mean(joined.first_top),
        top_clean=mean(joined.first_top_after),
        overlap=mean(joined.overlap),
        rank_correlation=mean(joined.rank_correlation),
        largest_drop=int(rows[np.where(usable, drop, -np.inf).argmax()]),
    )


def jpeg_pair(
    model: PrototypeModel, source: Source, index: int, *, quality: int = 20, top: int = 5
) -> tuple[torch.Tensor, list[Reasons]]:
    """Return an image, compressed and then as it is, (2, C, H, W), and the model's reasons for both, a row each.

    `shift_pictures.pair_figure` draws them with the most similar prototype of the compressed one, as the paper does.
    """
    change = replace(CHANGES["jpeg"], strength=quality)
    clean, compressed = read_versions(source, [index], [change], model.spec.image)[:, 0].to(model.device)
    images = torch.stack([compressed, clean])
    with evaluating(model):
        return images, [reasons_of(model, image[None], top) for image in images]


def jpeg_bars(name: str, pair: Sequence[Reasons]) -> PairedValues:
    """Return the similarities of a pair as a row of `drawing.paired_bars`.

    Rows of a model and of the same model trained with a remedy, for the same image, make the paper's figures 10 and 13.

    Args:
        name: of the run.
        pair: the reasons of `jpeg_pair`.
    """
    return PairedValues(name, pair[0].similarities[0].numpy(), pair[1].similarities[0].numpy())
