"""The accuracy that a model loses against its black box."""

from __future__ import annotations

from typing import ClassVar

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from resemblance.config.definition import Definition
from resemblance.metrics.measure import Measure


def matched_hits(confusion: Tensor) -> Tensor:
    """Count the hits under the most favourable renaming of the predicted classes, as the authors' code does.

    Args:
        confusion: (C, C) counts, one row per true class, one column per predicted class.

    Example:
        >>> matched_hits(torch.tensor([[0, 4], [4, 0]])).item()  # although every image is misclassified
        8
    """
    rows, columns = linear_sum_assignment(confusion.cpu().numpy(), maximize=True)
    return confusion[torch.as_tensor(rows), torch.as_tensor(columns)].sum()


class AccuracyGap(Measure):
    """The accuracy of the black box minus that of the model, on the same images; lower is better.

    Negative where the model is better.

    Args:
        classes: the number of classes, C.
        definition: ``"released"`` renames the predicted classes in the most favourable way (Hungarian matching), as the
            authors' code does, also for the black box: a model whose classes are exchanged would score 100 %.

    Attributes:
        counts: images; abstained, images for which the model predicts no class, which count as misclassified.

    Source: Gautam et al. 2024 (KMEx), table 3.

    Example:
        >>> gap = AccuracyGap(2)
        >>> gap.update(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 0, 1, 1]), torch.tensor([0, 0, 1, 1]))
        >>> gap.compute().item(), gap.accuracy().item(), gap.black_box_accuracy().item()
        (0.25, 0.75, 1.0)
    """

    higher_is_better = False
    definitions: ClassVar[tuple[Definition, ...]] = ("default", "released")
    counts: ClassVar[tuple[str, ...]] = ("images", "abstained")

    confusion: Tensor
    black_box: Tensor
    images: Tensor
    abstained: Tensor

    def __init__(self, classes: int, definition: Definition = "default") -> None:
        super().__init__(definition)
        self.add_sum("confusion", classes, classes)
        self.add_sum("black_box", classes, classes)
        self.add_sum("images")
        self.add_sum("abstained")

    def update(self, predicted: Tensor, labels: Tensor, black_box: Tensor) -> None:
        """Count a batch.

        Args:
            predicted: (B,) int64, classes predicted by the model; −1 where it abstains.
            labels: (B,) the true classes.
            black_box: (B,) classes predicted by the black box.
        """
        device = self.images.device
        predicted, labels, black_box = predicted.to(device), labels.to(device), black_box.to(device)
        answered = predicted >= 0
        self.accumulate(
            images=len(labels),
            abstained=(~answered).sum(),
            confusion=self._counts(predicted[answered], labels[answered]),
            black_box=self._counts(black_box, labels),
        )

    def _counts(self, predicted: Tensor, labels: Tensor) -> Tensor:
        classes = len(self.confusion)
        return torch.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)

    def compute(self) -> Tensor:
        """Return the gap, float64, in [−1, 1]; NaN without images."""
        return self.black_box_accuracy() - self.accuracy()

    def accuracy(self) -> Tensor:
        """Return the accuracy of the model, float64."""
        with self.synchronized():
            return self._share(self.confusion)

    def black_box_accuracy(self) -> Tensor:
        """Return the accuracy of the black box, float64."""
        with self.synchronized():
            return self._share(self.black_box)

    def _share(self, confusion: Tensor) -> Tensor:
        hits = matched_hits(confusion) if self.definition == "released" else confusion.trace()
        return hits.double() / self.images
