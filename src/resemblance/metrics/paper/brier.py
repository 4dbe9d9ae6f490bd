"""The Brier score: squared error of probabilities."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from resemblance.metrics.measure import MeanMeasure


def squared_errors(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Compute Σ_c (p_c − 1[c = y])² of each image, (B,) float64 in [0, 2].

    Example:
        >>> import torch
        >>> squared_errors(torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]), torch.zeros(3, dtype=torch.int64)).tolist()
        [0.0, 0.5, 2.0]
    """
    raise NotImplementedError


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
        raise NotImplementedError
