"""The Brier score: squared error of probabilities."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from resemblance.metrics.measure import MeanMeasure
from resemblance.metrics.paper.calibration import check_probabilities
from resemblance.prototypes.precision import widest


def squared_errors(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Compute Σ_c (p_c − 1[c = y])² of each image, (B,) float64 in [0, 2].

    Example:
        >>> import torch
        >>> squared_errors(torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]), torch.tensor([0, 0, 0])).tolist()
        [0.0, 0.5, 2.0]
    """
    targets = F.one_hot(labels.to(probabilities.device), probabilities.shape[1])
    return (probabilities.to(widest(probabilities.device)) - targets).square().sum(dim=1)


class BrierScore(MeanMeasure):
    """The mean over images of Σ_c (p_c − 1[c = y])²; lower is better.

    In [0, 2]; a model that gives each of C classes 1/C scores 1 − 1/C.

    Attributes:
        counts: measured images; undefined, images left out because of a NaN.

    Source: Brier 1950.

    Example:
        >>> import torch
        >>> score = BrierScore()
        >>> score.update(torch.tensor([[0.5, 0.5]]), torch.tensor([1]))
        >>> score.compute().item()
        0.5
    """

    higher_is_better = False
    counts: ClassVar[tuple[str, ...]] = ("measured", "undefined")

    undefined: Tensor

    def __init__(self) -> None:
        super().__init__()
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
        self.accumulate(undefined=(~defined).sum())
        probabilities, labels = probabilities[defined], labels.to(defined.device)[defined]
        check_probabilities(probabilities)
        self.add_values(squared_errors(probabilities, labels))
