"""Measures of the predictions: accuracy, the gap to the black box, calibration."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from resemblance.data.text import share
from resemblance.metrics.paper.accuracy_gap import AccuracyGap
from resemblance.metrics.paper.agreement import Agreement
from resemblance.metrics.paper.brier import BrierScore
from resemblance.metrics.paper.calibration import CalibrationError
from resemblance.metrics.suite.answers import Answers
from resemblance.metrics.suite.measurement import Measurement, item
from resemblance.metrics.suite.result import Curve, MeasureResult, Value, number
from resemblance.metrics.suite.subject import Subject

Z = 1.959964  # of a 95 % interval


def share_interval(value: float, count: int) -> tuple[float, float] | None:
    """Return the Wilson interval, at 95 %, of a share of ``count`` cases; None without cases.

    Example:
        >>> low, high = share_interval(0.9, 100)
        >>> round(low, 3), round(high, 3)
        (0.826, 0.945)
    """
    if count == 0 or not math.isfinite(value):
        return None
    weight = 1 + Z**2 / count
    centre = (value + Z**2 / (2 * count)) / weight
    half = Z * math.sqrt(value * (1 - value) / count + Z**2 / (4 * count**2)) / weight
    return max(0.0, centre - half), min(1.0, centre + half)


class Accuracy(Measurement):
    """Accuracy, what is lost of the black box's, and how often both give the same answer."""

    name: ClassVar[str] = "accuracy"
    title: ClassVar[str] = "Accuracy"

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        definition = AccuracyGap.nearest_definition(subject.settings.definition)
        self.gap = AccuracyGap(subject.model.spec.num_classes, definition)
        self.agreement = Agreement()

    def update(self, answers: Answers) -> None:
        """Count a batch; without a black box, against the labels, which is not reported."""
        black_box = answers.black_box_predicted
        predicted, labels = answers.predicted.cpu(), answers.labels.cpu()
        self.gap.update(predicted, labels, labels if black_box is None else black_box.cpu())
        if black_box is not None:
            self.agreement.update(predicted, black_box)

    def result(self) -> MeasureResult:
        """Return accuracy, and beside a black box gap and agreement."""
        count, accuracy = int(self.gap.images), item(self.gap.accuracy())
        frequent = np.bincount(self.subject.images.labels).max() / max(count, 1)
        values = [
            Value(
                "accuracy",
                "accuracy",
                accuracy,
                "higher",
                f"{share(accuracy)} of {count} images are classified correctly.",
                "Close to the accuracy of the black box; far above the share of the most frequent class.",
                baseline=float(frequent),
                baseline_of="always the most frequent class",
                interval=share_interval(accuracy, count),
                count=count,
                share=True,
            )
        ]
        if compared := self.agreement.counted()["measured"]:
            gap = item(self.gap.compute())
            black_box = item(self.gap.black_box_accuracy())
            points = (
                f"{abs(100 * gap):.1f} percentage points {'fewer' if gap > 0 else 'more'} than the black box"
            )
            values.append(
                Value(
                    "gap",
                    "gap to the black box",
                    gap,
                    "lower",
                    f"The model classifies {points} correctly, which reaches {share(black_box)}."
                    if gap
                    else f"The model and the black box both classify {share(black_box)} correctly.",
                    "0 or less: the explanations cost no accuracy.",
                    count=count,
                )
            )
            agreement = item(self.agreement.compute())
            values.append(
                Value(
                    "agreement",
                    "agreement with the black box",
                    agreement,
                    "higher",
                    f"The model and the black box predict the same class for {share(agreement)} of {compared} images.",
                    "100 %: then each explanation is about the class that the black box predicts too. A gap of 0 does "
                    "not show it, because both can be wrong about different images.",
                    interval=share_interval(agreement, compared),
                    count=compared,
                    share=True,
                )
            )
        return MeasureResult(
            self.name,
            self.title,
            "The share of images that are classified correctly, how much of the black box's accuracy is lost, and how "
            "often both predict the same class.",
            tuple(values),
        )


class Calibration(Measurement):
    """Whether the probabilities are as large as the accuracy."""

    name: ClassVar[str] = "calibration"
    title: ClassVar[str] = "Calibration"

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.error, self.brier = CalibrationError(), BrierScore()

    def update(self, answers: Answers) -> None:
        """Compare the probabilities of a batch with the labels."""
        probabilities, labels = answers.probabilities.cpu(), answers.labels.cpu()
        self.error.update(probabilities, labels)
        self.brier.update(probabilities, labels)

    def result(self) -> MeasureResult:
        """Return the calibration error and the Brier score."""
        error, brier = item(self.error.compute()), item(self.brier.compute())
        images, confidence, correct = self.error.reliability()
        bins = images > 0
        total = images.sum().clamp_min(1)
        mean = item((images * confidence.nan_to_num()).sum() / total)
        accuracy = item((images * correct.nan_to_num()).sum() / total)
        side = "too sure" if mean > accuracy else "not sure enough"
        frequencies = np.bincount(self.subject.images.labels) / max(len(self.subject.images), 1)
        values = (
            Value(
                "calibration_error",
                "calibration error (ECE)",
                error,
                "lower",
                f"The model gives its predictions {share(mean)} on average, and {share(accuracy)} are correct: "
                f"it is {side}.",
                "Below 0.05: a probability of 90 % then means about 90 % correct predictions.",
                count=self.error.counted()["images"],
                left_out={"probabilities that are not numbers": self.error.counted()["undefined"]},
                share=True,
            ),
            Value(
                "brier",
                "Brier score",
                brier,
                "lower",
                f"The mean squared error of the probabilities is {number(brier)}.",
                "0 is perfect; it rewards being right as well as being honest about it.",
                baseline=float(1 - (frequencies**2).sum()),
                baseline_of="always the frequencies of the classes",
                deviation=item(self.brier.deviation()),
                count=self.brier.counted()["measured"],
                left_out={"probabilities that are not numbers": self.brier.counted()["undefined"]},
            ),
        )
        curve = Curve(
            "accuracy by confidence", tuple(confidence[bins].tolist()), tuple(correct[bins].tolist())
        )
        return MeasureResult(
            self.name,
            self.title,
            "Whether the model's probabilities can be read as probabilities: of the predictions that it gives 90 %, "
            "nine in ten should be correct.",
            values,
            (curve,),
        )
