"""Calibration: whether a model is right as often as its probabilities say (ECE)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.metrics.measure import Measure

BINS = 15
TOLERANCE = 1e-3  # of probabilities' sums, which may come from 16-bit arithmetic


def check_probabilities(probabilities: Tensor) -> None:
    """Check that rows are distributions.

    Args:
        probabilities: (B, C).

    Raises:
        UserError: if a number is outside of [0, 1], or a row does not sum to 1 within 0.001.

    Example:
        >>> check_probabilities(torch.tensor([[0.25, 0.75]]))
    """
    wrong = ((probabilities < -TOLERANCE) | (probabilities > 1 + TOLERANCE)).any(dim=1)
    sums = probabilities.float().sum(dim=1)
    wrong |= (sums - 1).abs() > TOLERANCE
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise UserError(
            f"probabilities were expected, but those of image {row} of the batch sum to {float(sums[row]):.4g}, or lie "
            "outside of 0 to 1; for logits, take their softmax"
        )


def bin_of(confidence: Tensor, bins: int) -> Tensor:
    """Return the bin of each confidence (B,): b for (b/n, (b + 1)/n]; 0 also for 0.

    Example:
        >>> bin_of(torch.tensor([0.0, 0.5, 0.51, 1.0]), 2)
        tensor([0, 0, 1, 1])
    """
    edges = torch.linspace(0, 1, bins + 1, dtype=confidence.dtype, device=confidence.device)[1:-1]
    return torch.bucketize(confidence, edges)


class CalibrationError(Measure):
    """ECE: the difference between confidence and accuracy, in bins of equal width, weighted by images; lower is better.

    The confidence is the probability of the predicted class. Bin b is ((b − 1)/n, b/n]. torchmetrics'
    ``MulticlassCalibrationError`` keeps all confidences, and takes a softmax where a probability exceeds 1 by a
    rounding error; this one keeps sums per bin.

    Args:
        bins: the number of bins, n.

    Attributes:
        counts: images; undefined, images left out because of a NaN.

    Source: Naeini et al. 2015; Guo et al. 2017, eq. 3.

    Example:
        >>> error = CalibrationError()
        >>> error.update(torch.tensor([[0.9, 0.1], [0.1, 0.9]]), torch.tensor([0, 0]))
        >>> round(error.compute().item(), 6)
        0.4
    """

    higher_is_better = False
    counts: ClassVar[tuple[str, ...]] = ("images", "undefined")

    images_in_bin: Tensor
    confidence: Tensor
    correct: Tensor
    images: Tensor
    undefined: Tensor

    def __init__(self, bins: int = BINS) -> None:
        super().__init__()
        self.bins = bins
        self.add_sum("images_in_bin", bins)
        self.add_sum("confidence", bins, dtype=torch.float64)
        self.add_sum("correct", bins)
        self.add_sum("images")
        self.add_sum("undefined")

    def update(self, probabilities: Tensor, labels: Tensor) -> None:
        """Add a batch.

        Args:
            probabilities: (B, C).
            labels: (B,) the true classes.

        Raises:
            UserError: if they are not probabilities.
        """
        defined = probabilities.isfinite().all(dim=1)
        probabilities, labels = probabilities[defined], labels.to(defined.device)[defined]
        check_probabilities(probabilities)
        confidence, predicted = probabilities.max(dim=1)
        here = self.correct.device
        hits, confidence = (predicted == labels).to(here), confidence.to(here).double()
        place = bin_of(confidence, self.bins)
        self.accumulate(
            images=len(labels),
            undefined=(~defined).sum(),
            images_in_bin=torch.bincount(place, minlength=self.bins),
            correct=torch.bincount(place[hits], minlength=self.bins),
            confidence=torch.bincount(place, confidence, minlength=self.bins),
        )

    def compute(self) -> Tensor:
        """Return the error, float64, in [0, 1]; NaN without images."""
        return (self.correct - self.confidence).abs().sum() / self.images

    def reliability(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return images, mean confidence and accuracy of each bin, (n,) each; NaN for an empty bin."""
        with self.synchronized():
            images = self.images_in_bin
            return images.clone(), self.confidence / images, self.correct / images.double()
