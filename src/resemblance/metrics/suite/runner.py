"""Measure a model: one pass over the training images and one over the measured images serve all measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from resemblance.data.batch import Batch
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import loader
from resemblance.encoders.probe import evaluating
from resemblance.metrics.evaluation import Evaluation
from resemblance.metrics.suite.answers import Answers
from resemblance.metrics.suite.applicable import applicable
from resemblance.metrics.suite.cost import Cost
from resemblance.metrics.suite.measurement import Measurement, Pass
from resemblance.metrics.suite.partial import Partial
from resemblance.metrics.suite.plan import MEASUREMENTS
from resemblance.metrics.suite.prediction import Prediction
from resemblance.metrics.suite.result import LeftOut, MeasureResult
from resemblance.metrics.suite.subject import Subject
from resemblance.training.devices.pool import map_over_devices

PASSES: tuple[Pass, ...] = ("none", "train", "images")
TITLES = {"train": "training images", "images": "measuring"}


@dataclass(frozen=True)
class SuiteResult:
    """All results for one model.

    Args:
        evaluation: accuracy and confusion.
        results: the result of each measure.
        left_out: the measures that do not apply, with the reason.
        kind: the kind of the relevance maps that were read.
        cost: the work that it took.
    """

    evaluation: Evaluation
    results: tuple[MeasureResult, ...]
    left_out: tuple[LeftOut, ...]
    kind: str
    cost: Cost

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary: the keys of `Evaluation`, then the measures."""
        return {
            **self.evaluation.to_dict(),
            "maps": self.kind,
            "measures": {result.measure: result.to_dict() for result in self.results},
            "left_out": [one.to_dict() for one in self.left_out],
            "cost": self.cost.to_dict(),
        }


def measure(
    subject: Subject,
    names: Sequence[str],
    *,
    workers: int = 0,
    folder: Path | None = None,
    progress: bool = False,
) -> SuiteResult:
    """Measure a model.

    Args:
        subject: the model and the images.
        names: the measures, by name.
        workers: the number of processes that read images.
        folder: where the state is kept every few seconds, from which a stopped evaluation goes on; None for nowhere.
        progress: whether to show bars.

    Raises:
        UserError: if there are no images, or a score is infinite or NaN.
    """
    measurements, left_out = applicable(MEASUREMENTS, subject, names)
    prediction = Prediction(subject)
    partial = Partial(folder, subject.key(tuple(names)))
    work = _Work([prediction, *measurements], partial)
    with evaluating(subject.model), evaluating(subject.black_box or subject.model), torch.no_grad():
        for over in PASSES:
            work.run(subject, over, workers, progress)
        results = tuple(one.result() for one in measurements)
    return SuiteResult(prediction.evaluation(), results, tuple(left_out), subject.kind, work.cost)


def remove_partial(subject: Subject, names: Sequence[str], folder: Path | None) -> None:
    """Remove the state of an evaluation, after its results have been written."""
    Partial(folder, subject.key(tuple(names))).remove()


class _Work:
    """The passes over the images, with the place that has been reached."""

    def __init__(self, measurements: Sequence[Measurement], partial: Partial) -> None:
        self.measurements, self.partial, self.cost = measurements, partial, Cost()
        self.done = dict.fromkeys(PASSES, 0)  # images
        saved = partial.read()
        if saved is not None:
            self.done, self.cost = saved["done"], Cost(**saved["cost"])
            for one, state in zip(measurements, saved["states"], strict=True):
                one.merge(state)

    def run(self, subject: Subject, over: Pass, workers: int, progress: bool) -> None:
        """Feed the measurements of a pass with its images, from the place that has been reached."""
        feeding = [one for one in self.measurements if one.over == over]
        source = {"train": subject.train, "images": subject.images, "none": None}[over]
        if not feeding or source is None:
            return
        total = max(len(source) if one.most is None else min(one.most, len(source)) for one in feeding)
        started = self.done[over]
        images = ImageDataset(source, subject.model.spec.image)
        batches = loader(images, subject.settings.batch_size, workers, range(started, total))
        # Each batch is measured by measurements of its own, here or in another process.
        measure = partial(_measured, subject, [type(one)(subject) for one in feeding])
        title = f"{subject.name}: {TITLES[over]}"
        for images_done, cost, states in map_over_devices(measure, batches, title, progress):
            for one, state in zip(feeding, states, strict=True):
                if state is not None:
                    one.merge(state)
            self.cost.add(cost)
            self.done[over] += images_done
            self.partial.save(self.state)
        if self.done[over] > started:
            self.partial.save(self.state, now=True)

    def state(self) -> dict[str, Any]:
        """Return all that is needed to go on."""
        return {
            "done": dict(self.done),
            "cost": self.cost.to_dict(),
            "states": [one.state() for one in self.measurements],
        }


def _measured(
    subject: Subject, measurements: Sequence[Measurement], batch: Batch
) -> tuple[int, Cost, list[dict[str, Any] | None]]:
    """Return the number of images in a batch, the work, and the state of each measurement after this batch alone.

    The state is None where a measurement reads the first images only, which these are not.
    """
    cost, states = Cost(), list[dict[str, Any] | None]()
    answers, first = Answers(subject, batch, cost), int(batch.indices[0])
    for one in measurements:
        left = len(batch.labels) if one.most is None else one.most - first
        if left > 0:
            one.reset()
            one.update(answers.first(left))
        states.append(one.state() if left > 0 else None)
    return len(batch.labels), cost, states
