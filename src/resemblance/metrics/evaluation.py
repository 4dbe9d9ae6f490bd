"""Evaluate a model on a set of images."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.core.classifier import Classifier
from resemblance.core.output import Output
from resemblance.core.prototype_model import prototypes_of
from resemblance.data.batch import Batch, EncodedBatch
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import ImageLoader, loader
from resemblance.data.sources.source import Source
from resemblance.metrics.confusion import accuracy, class_figures
from resemblance.metrics.sure_answers import SureAnswers
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.training.cached.kept_latents import KeptLatents
from resemblance.training.devices.pool import map_over_devices
from resemblance.training.ends.passes import evaluating


@dataclass(frozen=True)
class Evaluation:
    """The counts of one pass over a set of images.

    Args:
        classes: the names of the classes.
        confusion: (C, C) counts, one row per true class, one column per predicted class.
        black_box: accuracy of the black box on the same images, if the model contains it.
        agreement: the share of images for which model and black box predict the same class; None without a black box.
        prototypes: the number of prototypes; None for a model without.
        unused: prototypes that are the most similar to no training image; None if usage was not counted.
        wrong: indices of the misclassified images.
        sure: images of whose class the model is sure, with a probability of 90 % or more, and how many of them are
            classified correctly; None for a model without trained probabilities.
        least_familiar: indices of the images that resemble least what the model knows, the least familiar first; empty
            for a model that has no deciding similarity.
        measured: the method's own metrics by name (`Classifier.extra_metrics`), averaged over the images.

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
    agreement: float | None = None
    sure: tuple[int, int] | None = None
    least_familiar: tuple[int, ...] = ()

    @property
    def images(self) -> int:
        """The number of images."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """The share of images classified correctly; NaN without images."""
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
        """Return a JSON-ready dictionary."""
        return {
            "images": self.images,
            "accuracy": self.accuracy,
            "black_box": self.black_box,
            "gap": self.gap,
            "agreement": self.agreement,
            "measured": dict(self.measured),
            "prototypes": self.prototypes,
            "unused": None if self.unused is None else list(self.unused),
            "per_class": self.per_class(),
            "confusion": self.confusion.tolist(),
            "wrong": list(self.wrong),
            "sure": None if self.sure is None else list(self.sure),
            "least_familiar": list(self.least_familiar),
        }


class BatchReader(Protocol):
    """What reads a pass over images together with an evaluation."""

    def read(self, output: Output, labels: Tensor) -> Any:
        """Return what a batch tells, which any of several processes may ask."""

    def collect(self, result: Any) -> None:
        """Take what `read` has returned; called for all batches in order, in the process of the evaluation."""


def evaluate(
    model: Classifier,
    source: Source,
    *,
    batch_size: int = 128,
    workers: int = 0,
    progress: bool = False,
    also: BatchReader | None = None,
    kept: KeptLatents | None = None,
) -> Evaluation:
    """Count correctly and wrongly classified images in one pass without augmentation.

    Args:
        model: on any device; its mode does not change.
        source: images of the model's classes.
        batch_size: images per batch; no result depends on it.
        workers: loader processes.
        progress: whether to show a bar.
        also: what else reads the same pass.
        kept: keeps the latents of the images, if the model's output can be computed from them.

    Raises:
        UserError: if there are no images, or a score is infinite or NaN.
    """
    counts, answers = EvaluationCounts(model.spec.classes), SureAnswers(model)
    with evaluating(model):
        batches: Iterable[Batch | EncodedBatch] = measured_images(
            model.spec.image, source, batch_size, workers
        )
        if kept is not None and model.trains_on_encoded:
            batches = kept.batches(source, batch_size)
        measure = partial(_measured, model, also)
        for counted, answered, read in map_over_devices(measure, batches, "measuring", progress):
            counts.merge(counted)
            answers.merge(answered)
            if also is not None:
                also.collect(read)
    return with_answers(counts.result(prototypes_of(model)), answers)


def _measured(
    model: Classifier, also: BatchReader | None, batch: Batch | EncodedBatch
) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """Return the counts for a batch of images, of an evaluation and of sure answers, and what else is read of it."""
    inputs, labels, indices = batch
    counts, answers = EvaluationCounts(model.spec.classes), SureAnswers(model)
    inputs = inputs.to(model.device, non_blocking=True)
    output = model.forward_encoded(inputs) if isinstance(batch, EncodedBatch) else model(inputs)
    counts.add(output, labels, indices, model.extra_metrics(output, labels.to(model.device)))
    answers.add(output, labels, indices)
    return counts.state(), answers.state(), None if also is None else also.read(output, labels)


def with_answers(evaluation: Evaluation, answers: SureAnswers) -> Evaluation:
    """Return an evaluation with the counts of sure answers and the least familiar images."""
    return replace(evaluation, sure=answers.sure, least_familiar=answers.least_familiar)


def measured_images(spec: ImageSpec, source: Source, batch_size: int, workers: int) -> ImageLoader[Batch]:
    """Return a loader of a source's images in order, at a model's size and without augmentation.

    Raises:
        UserError: if there are none.
    """
    if not len(source):
        raise UserError("there are no images to measure on")
    return loader(ImageDataset(source, spec), batch_size, workers)


class EvaluationCounts:
    """Running counts of an evaluation, batch by batch.

    Args:
        classes: the names of the classes.

    Example:
        >>> import torch
        >>> counts = EvaluationCounts(("cat", "dog"))
        >>> none = torch.empty(2, 0)
        >>> counts.add(Output(torch.eye(2), none, none), torch.tensor([0, 0]), torch.arange(2))
        >>> counts.result().accuracy, counts.result().wrong
        (0.5, (1,))
    """

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes = classes
        self._rows: list[Tensor] = []  # (B, 3) labels, predicted classes and indices, batch by batch
        self._black_box: int | None = None
        self._agreed = 0
        self._sums = Counter[str]()

    def add(
        self,
        output: Output,
        labels: Tensor,
        indices: Tensor,
        extra: Mapping[str, Tensor] | None = None,
        black_box: Tensor | None = None,
    ) -> None:
        """Count the predictions for a batch of images.

        Args:
            output: the model's output.
            labels: (B,).
            indices: (B,) indices of the images.
            extra: the values of `Classifier.extra_metrics`.
            black_box: (B,) the classes that another black box than the model's own predicts.

        Raises:
            UserError: if a score is infinite or NaN; the message has the index of the image.
        """
        predictions = _predictions(output.scores, output.finite, indices)
        self._rows.append(torch.stack([labels, predictions, indices], dim=1))
        if black_box is None and (logits := output.extras.get("blackbox")) is not None:
            black_box = _predictions(logits, logits.isfinite().all(dim=1), indices)
        if black_box is not None:
            black_box = black_box.cpu()
            self._black_box = (self._black_box or 0) + int((black_box == labels).sum())
            self._agreed += int((black_box == predictions).sum())
        self._sums.update({name: float(values.float().sum()) for name, values in (extra or {}).items()})

    def state(self) -> dict[str, Any]:
        """Return the counts as tensors and plain values."""
        return {
            "rows": torch.cat([torch.empty(0, 3, dtype=torch.int64), *self._rows]),
            "black_box": self._black_box,
            "agreed": self._agreed,
            "sums": dict(self._sums),
        }

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add the counts that `state` returned for other images."""
        self._rows.append(state["rows"])
        if state["black_box"] is not None:
            self._black_box = (self._black_box or 0) + state["black_box"]
        self._agreed += state["agreed"]
        self._sums.update(state["sums"])

    def result(self, prototypes: PrototypeLayer | None = None) -> Evaluation:
        """Return the evaluation, with the usage of the model's prototypes."""
        labels, predictions, indices = torch.cat([torch.empty(0, 3, dtype=torch.int64), *self._rows]).T
        classes, images = len(self.classes), len(labels)
        confusion = torch.bincount(labels * classes + predictions, minlength=classes**2).reshape(
            classes, classes
        )
        counted = prototypes is not None and prototypes.usage_counted
        return Evaluation(
            self.classes,
            confusion.numpy(),
            black_box=None if self._black_box is None else self._black_box / images,
            prototypes=None if prototypes is None else len(prototypes),
            unused=tuple(prototypes.unused().tolist()) if prototypes is not None and counted else None,
            wrong=tuple(indices[predictions != labels].tolist()),
            measured={name: total / images for name, total in self._sums.items()},
            agreement=None if self._black_box is None else self._agreed / images,
        )


def _predictions(scores: Tensor, finite: Tensor, indices: Tensor) -> Tensor:
    """Return the predicted class of each image, (B,), in main memory; refuse images whose scores are not finite."""
    # Marked by -1 on the device: the predictions are transferred anyway, so that this waits for nothing else.
    predictions = scores.argmax(dim=1).masked_fill(~finite, -1).cpu()
    if (broken := indices[predictions < 0]).numel():
        raise UserError(
            f"the model's scores for image #{int(broken[0])} are infinite or NaN: its weights are damaged, or its "
            "training has diverged"
        )
    return predictions


def _or_none(share: float) -> float | None:
    return None if math.isnan(share) else share
