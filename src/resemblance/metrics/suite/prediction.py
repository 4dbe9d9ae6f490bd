"""Accuracy and confusion, which every evaluation counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from resemblance.core.prototype_model import prototypes_of
from resemblance.metrics.evaluation import Evaluation, EvaluationCounts
from resemblance.metrics.suite.answers import Answers
from resemblance.metrics.suite.measurement import Measurement
from resemblance.metrics.suite.result import MeasureResult
from resemblance.metrics.suite.subject import Subject


class Prediction(Measurement):
    """Counts correctly and wrongly classified images."""

    name: ClassVar[str] = "prediction"
    title: ClassVar[str] = "Prediction"

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.counts = EvaluationCounts(subject.model.spec.classes)

    def update(self, answers: Answers) -> None:
        """Count a batch."""
        model, output = self.subject.model, answers.output
        extra = model.extra_metrics(output, answers.labels)
        black_box = None if self.subject.black_box is None else answers.black_box_predicted
        self.counts.add(
            output, answers.labels.cpu(), self.subject.data_indices[answers.positions], extra, black_box
        )

    def evaluation(self) -> Evaluation:
        """Return the counts, with the misclassified images in ascending order."""
        evaluation = self.counts.result(prototypes_of(self.subject.model))
        return replace(evaluation, wrong=tuple(sorted(evaluation.wrong)))

    def result(self) -> MeasureResult:
        """Return nothing: `evaluation` has the counts."""
        return MeasureResult(self.name, self.title, "", ())

    def state(self) -> dict[str, Any]:
        """Return the counts."""
        return self.counts.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from counts."""
        self.counts.restore(state)
