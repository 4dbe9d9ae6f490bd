"""Measures of what the prototypes stand for together: the attributes of the training images nearest to them."""

from __future__ import annotations

from typing import ClassVar

import torch

from resemblance.metrics.paper.attribute_correlation import AttributeCorrelationError
from resemblance.metrics.paper.attribute_coverage import AttributeCoverage
from resemblance.metrics.suite.answers import Answers
from resemblance.metrics.suite.measurement import Measurement, item
from resemblance.metrics.suite.model_subject import no_prototypes, no_training_images
from resemblance.metrics.suite.result import MeasureResult, Value, number
from resemblance.metrics.suite.subject import Subject, no_attributes


def no_sources(subject: Subject) -> str | None:
    """Explain that no prototype has a nearest training image, if so."""
    if subject.explains is not None and bool((subject.prototypes.source_index >= 0).any()):
        return None
    return f"no prototype of {subject.model.name} has a nearest training image"


class AttributeMeasurement(Measurement):
    """Coverage of attributes, the error of their correlations, and ghosted prototypes."""

    name: ClassVar[str] = "attributes"
    title: ClassVar[str] = "Attributes"
    over = "none"
    needs = (no_prototypes, no_training_images, no_attributes, no_sources)

    def update(self, answers: Answers) -> None:
        """Do nothing: the attributes of the training images are given."""

    def result(self) -> MeasureResult:
        """Compare the attributes of the prototypes' images with those of the training set."""
        attributes, prototypes = self.subject.attributes, self.subject.prototypes
        assert attributes is not None
        table = torch.from_numpy(attributes.values)
        sources = prototypes.source_index.cpu()
        rows = table[sources[sources >= 0]]
        ghosted = (prototypes.activations.cpu() == 0) if prototypes.usage_counted else None
        coverage = AttributeCoverage(table.shape[1])
        coverage.update(rows, None if ghosted is None else ghosted[sources >= 0])
        error = AttributeCorrelationError(
            table.shape[1], AttributeCorrelationError.nearest_definition(self.subject.settings.definition)
        )
        error.update(rows, table)
        covered, total = int(coverage.compute()), table.shape[1]
        difference = error.difference()
        without = {"prototypes without a nearest training image": int((sources < 0).sum())}
        missing = [
            name
            for name, count in zip(attributes.names, coverage.captured_by().tolist(), strict=True)
            if not count
        ]
        values = [
            Value(
                "attribute_coverage",
                "attributes covered",
                float(covered),
                "higher",
                f"{covered} of {total} attributes occur in the nearest training image of some prototype.",
                "All attributes that the training images have.",
                count=len(rows),
                of="prototypes",
                left_out=without,
            ),
            Value(
                "attribute_correlation_error",
                "error of the attributes' correlations",
                item(difference.error),
                "lower",
                f"The correlations of two attributes among the prototypes and among the training images differ by "
                f"{number(item(difference.error))} on average.",
                "Near 0: the prototypes show attributes together as often as the data does.",
                baseline=item(difference.trivial),
                baseline_of="a single prototype",
                count=int(difference.pairs),
                of="pairs of attributes",
                left_out={
                    "attributes that are the same in all training images": int(difference.constant),
                    "correlations that are undefined among the prototypes, and count as 0": int(
                        difference.undefined
                    ),
                },
            ),
        ]
        if ghosted is not None:
            values.append(
                Value(
                    "attribute_ghosted",
                    "ghosted prototypes",
                    float(ghosted.sum()),
                    "lower",
                    f"{int(ghosted.sum())} of {len(ghosted)} prototypes are not the most similar one for any training "
                    "image.",
                    "0.",
                    count=len(ghosted),
                    of="prototypes",
                )
            )
        return MeasureResult(
            self.name,
            self.title,
            "Each prototype stands for the training image nearest to it. Do these images have all attributes of the "
            "data, and do the attributes occur together as in the data?",
            tuple(values),
            details={"attributes": total, "not_covered": missing},
        )
