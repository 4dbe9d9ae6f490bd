"""Measure how good a model is on a set of images."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix
from torch import Tensor
from torch.utils.data import DataLoader

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.core.classifier import Classifier
from resemblance.core.output import Output
from resemblance.core.prototype_model import prototypes_of
from resemblance.data.batch import Batch
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import loader
from resemblance.data.progress import track
from resemblance.data.sources.source import Source
from resemblance.metrics.confusion import accuracy, class_figures
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.training.ends.passes import evaluating


@dataclass(frozen=True)
class Evaluation:
    """The counts of one pass over a set of images.

    Args:
        classes: their names.
        confusion: (C, C) counts, one row per true class, one column per predicted class.
        black_box: accuracy of the black box on the same images, where the model holds it.
        prototypes: how many there are; None for a model without.
        unused: prototypes to which no training image is the most similar; None where that was not counted.
        wrong: indices of the misclassified images.
        measured: shares of the images by name, of what the method has measured besides (`Classifier.extra_metrics`).

    Example:
        >>> evaluation = Evaluation(("cat", "dog"), np.array([[8, 2], [0, 10]]), black_box=0.95)
        >>> evaluation.accuracy, round(evaluation.gap, 3), evaluation.per_class()[1]["recall"]
        (0.9, 0.05, 1.0)
    """

    classes: tuple[str, ...]
    confusion: NDArray[np.int64]
    black_box: float | None = None
    prototypes: int | None = None
    unused: tuple[int, ...] | None = None
    wrong: tuple[int, ...] = ()
    measured: Mapping[str, float] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """How many images there were."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """The share of them that is classified correctly; NaN without images."""
        return accuracy(self.confusion)

    @property
    def gap(self) -> float | None:
        """The accuracy lost against the black box; negative where the model is better."""
        return None if self.black_box is None else self.black_box - self.accuracy

    def per_class(self) -> list[dict[str, Any]]:
        """Return images, precision, recall and F1 of each class; None where there is nothing to divide by."""
        figures = class_figures(self.confusion, self.classes)
        return [
            {
                "class": row.name,
                "images": row.images,
                "precision": _or_none(row.precision),
                "recall": _or_none(row.recall),
                "f1": _or_none(row.f1),
            }
            for row in figures
        ]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return {
            "images": self.images,
            "accuracy": self.accuracy,
            "black_box": self.black_box,
            "gap": self.gap,
            "measured": dict(self.measured),
            "prototypes": self.prototypes,
            "unused": None if self.unused is None else list(self.unused),
            "per_class": self.per_class(),
            "confusion": self.confusion.tolist(),
            "wrong": list(self.wrong),
        }


def evaluate(
    model: Classifier, source: Source, *, batch_size: int = 128, workers: int = 0, progress: bool = False
) -> Evaluation:
    """Count right and wrong answers in one pass without augmentation.

    Args:
        model: on any device; what it is left in does not change.
        source: images of the model's classes.
        batch_size: images a batch; no result depends on it.
        workers: loader processes.
        progress: whether to show a bar.

    Raises:
        UserError: if there are no images.
    """
    tally = Tally(model.spec.classes)
    with evaluating(model):
        batches = measured_images(model.spec.image, source, batch_size, workers)
        for images, labels, indices in track(batches, "measuring", progress):
            output = model(images.to(model.device, non_blocking=True))
            tally.add(output, labels, indices, model.extra_metrics(output, labels.to(model.device)))
    return tally.result(prototypes_of(model))


def measured_images(spec: ImageSpec, source: Source, batch_size: int, workers: int) -> DataLoader[Batch]:
    """The images of a source in order, at a model's size and without augmentation.

    Raises:
        UserError: if there are none.
    """
    if not len(source):
        raise UserError("there are no images to measure on")
    return loader(ImageDataset(source, spec), batch_size, workers)


class Tally:
    """Counts correct and wrong answers, batch by batch.

    Args:
        classes: their names.

    Example:
        >>> import torch
        >>> tally = Tally(("cat", "dog"))
        >>> tally.add(Output(torch.eye(2), None, torch.empty(2, 0)), torch.tensor([0, 0]), torch.arange(2))
        >>> tally.result().accuracy, tally.result().wrong
        (0.5, (1,))
    """

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes = classes
        self._confusion = np.zeros((len(classes), len(classes)), np.int64)
        self._wrong: list[int] = []
        self._black_box: int | None = None
        self._sums = Counter[str]()

    def add(
        self, output: Output, labels: Tensor, indices: Tensor, also: Mapping[str, Tensor] | None = None
    ) -> None:
        """Count the answers to a batch of images with these labels and indices.

        Args:
            output: the answers.
            labels: (B,).
            indices: (B,) of the images.
            also: what `Classifier.extra_metrics` says of them.
        """
        predictions = output.scores.argmax(dim=1).cpu()
        self._confusion += confusion_matrix(labels, predictions, labels=range(len(self.classes)))
        self._wrong += indices[predictions != labels].tolist()
        if (logits := output.extras.get("blackbox")) is not None:
            right = int((logits.argmax(dim=1).cpu() == labels).sum())
            self._black_box = (self._black_box or 0) + right
        self._sums.update({name: float(values.float().sum()) for name, values in (also or {}).items()})

    def result(self, prototypes: PrototypeLayer | None = None) -> Evaluation:
        """Return the counts, with the use of the model's prototypes."""
        confusion = self._confusion.copy()
        images = int(confusion.sum())
        surveyed = prototypes is not None and prototypes.usage_counted
        return Evaluation(
            self.classes,
            confusion,
            black_box=None if self._black_box is None else self._black_box / images,
            prototypes=None if prototypes is None else len(prototypes),
            unused=tuple(prototypes.unused().tolist()) if prototypes is not None and surveyed else None,
            wrong=tuple(self._wrong),
            measured={name: total / images for name, total in self._sums.items()},
        )


def _or_none(share: float) -> float | None:
    return None if math.isnan(share) else share
