"""How well models that decode give images back."""

from __future__ import annotations

from typing import ClassVar

import torch

from resemblance.metrics.paper.reconstruction import ReconstructionError
from resemblance.metrics.suite.answers import Answers
from resemblance.metrics.suite.measurement import Measurement, item
from resemblance.metrics.suite.result import MeasureResult, Value, number
from resemblance.metrics.suite.subject import Subject


def no_decoder(subject: Subject) -> str | None:
    """Explain that the model does not decode, if so."""
    if callable(getattr(subject.model, "reconstruct", None)):
        return None
    return f"{subject.model.name} does not decode"


class ReconstructionMeasurement(Measurement):
    """The reconstruction error over the images."""

    name: ClassVar[str] = "reconstruction"
    title: ClassVar[str] = "Reconstruction"
    needs = (no_decoder,)

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.error, self.even = ReconstructionError(), ReconstructionError()

    @torch.no_grad()
    def update(self, answers: Answers) -> None:
        """Decode a batch, and compare it with the images."""
        model = self.subject.model
        images = answers.images
        self.error.update(model.reconstruct(images), images)  # type: ignore[operator]
        self.even.update(images.mean(dim=(1, 2, 3), keepdim=True).expand_as(images), images)

    def result(self) -> MeasureResult:
        """Return the mean error, with that of an even image."""
        error, even = item(self.error.compute()), item(self.even.compute())
        return MeasureResult(
            self.name,
            self.title,
            "The squared difference of each image and its reconstruction, summed over pixels and channels in [0, 1].",
            (
                Value(
                    "reconstruction",
                    "reconstruction error",
                    error,
                    "lower",
                    f"Reconstructions differ by {number(error)}, where an even image of the same mean differs by "
                    f"{number(even)}.",
                    "Far below that of an even image: else decoded prototypes show little of what they stand for.",
                    baseline=even,
                    baseline_of="an even image of the same mean",
                    deviation=item(self.error.deviation()),
                    count=self.error.counted()["measured"],
                ),
            ),
        )
