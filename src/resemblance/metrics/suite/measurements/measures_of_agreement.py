"""How far the maps of a model are from those of the black box."""

from __future__ import annotations

from typing import ClassVar

import torch

from resemblance.metrics.paper.explanation_divergence import ExplanationDivergence
from resemblance.metrics.suite.answers import Answers
from resemblance.metrics.suite.measurement import Measurement, item
from resemblance.metrics.suite.measurements.measures_of_maps import outside_the_paper
from resemblance.metrics.suite.result import MeasureResult, Value, number
from resemblance.metrics.suite.subject import Subject, no_black_box


def no_class_map(subject: Subject) -> str | None:
    """Explain that the model or the black box has no map of a class, if so."""
    return subject.class_map_problem


def no_common_maps(subject: Subject) -> str | None:
    """Explain that similarity maps cannot be compared with those of a black box, if they were asked for."""
    if subject.settings.maps == "similarity":
        return "a black box has no similarity maps to compare with; choose --maps smoothgrad or prp"
    return None


class DivergenceMeasurement(Measurement):
    """D_fdl: how far the maps of a model are from those of the black box, for the same class."""

    name: ClassVar[str] = "divergence"
    title: ClassVar[str] = "Divergence from the black box"
    needs = (no_black_box, no_common_maps, outside_the_paper, no_class_map)

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.divergence, self.uniform = ExplanationDivergence(), ExplanationDivergence()

    def update(self, answers: Answers) -> None:
        """Compare the maps for the classes that the black box predicts."""
        black_box, classes = self.subject.black_box, answers.black_box_predicted
        assert black_box is not None
        assert classes is not None
        mine = answers.class_maps(self.subject.model, classes, per_channel=True).cpu()
        theirs = answers.class_maps(black_box, classes, per_channel=True).cpu()
        self.divergence.update(mine, theirs)
        self.uniform.update(torch.ones_like(mine), theirs)

    def result(self) -> MeasureResult:
        """Return the mean divergence, with that of a map without any structure."""
        value, counted = item(self.divergence.compute()), self.divergence.counted()
        baseline = item(self.uniform.compute())
        closer = "closer to" if value < baseline else "no closer to"
        return MeasureResult(
            self.name,
            self.title,
            "The relevance maps of the model and of the black box, for the class that the black box predicts, as "
            "distributions over pixels, and the Kullback-Leibler divergence between them.",
            (
                Value(
                    "divergence",
                    "divergence (D_fdl)",
                    value,
                    "lower",
                    f"The maps diverge by {number(value)} nats: {closer} those of the black box than an even map "
                    f"({number(baseline)}).",
                    "Near 0: model and black box look at the same pixels. It need not be small for a model of another "
                    "kind, which may have its own good reasons.",
                    baseline=baseline,
                    baseline_of="a map without structure",
                    deviation=item(self.divergence.deviation()),
                    count=counted["measured"],
                    left_out={
                        "images with a map that is zero everywhere": counted["zero"],
                        "images with a map that is not finite": counted["undefined"],
                    },
                ),
            ),
        )
