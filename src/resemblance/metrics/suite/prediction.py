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
from resemblance.metrics.sure_answers import SureAnswers


class Prediction(Measurement):
    """Counts correctly and wrongly classified images, and those of whose class the model is sure."""

    name: ClassVar[str] = "prediction"
    title: ClassVar[str] = "Prediction"

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        self.counts = EvaluationCounts(self.subject.model.spec.classes)
        self.sure = SureAnswers(self.subject.model)

    def update(self, answers: Answers) -> None:
        """Count a batch."""
        model, output = self.subject.model, answers.output
        extra = model.extra_metrics(output, answers.labels)
        black_box = None if self.subject.black_box is None else answers.black_box_predicted
        labels, indices = answers.labels.cpu(), self.subject.data_indices[answers.positions]
        self.counts.add(output, labels, indices, extra, black_box)
        self.sure.add(output, labels, indices)

    def evaluation(self) -> Evaluation:
        """Return the counts, with the misclassified images in ascending order."""
        evaluation = self.counts.result(prototypes_of(self.subject.model))
        return replace(
            evaluation,
            wrong=tuple(sorted(evaluation.wrong)),
            sure=self.sure.sure,
            least_familiar=self.sure.least_familiar,
        )

    def result(self) -> MeasureResult:
        """Return nothing: `evaluation` has the counts."""
        return MeasureResult(self.name, self.title, "", ())

    def state(self) -> dict[str, Any]:
        """Return the counts."""
        return {"counts": self.counts.state(), "sure": self.sure.state()}

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add the counts for other batches."""
        self.counts.merge(state["counts"])
        self.sure.merge(state["sure"])
