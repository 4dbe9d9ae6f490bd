"""Count the answers of which a model is sure, and find the images that resemble least what it knows."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from resemblance.core.classifier import Classifier
from resemblance.core.deciding import deciding_similarity
from resemblance.core.output import Output
from resemblance.core.prototype_model import PrototypeModel

SURE = 0.9  # the probability from which an answer counts as sure
KEPT = 20  # images that are listed as least familiar


class SureAnswers:
    """Collects over batches how often a model is right where it is sure, and the least familiar images.

    Args:
        model: the model.

    Attributes:
        sure: the number of images with a probability of at least `SURE`, and of these that are classified correctly;
            None for a model without trained probabilities.
    """

    def __init__(self, model: Classifier) -> None:
        self.model = model
        self.sure: tuple[int, int] | None = None
        self._known: bool | None = None
        self._least: list[tuple[float, int]] = []  # a heap of the negated similarities

    def add(self, output: Output, labels: Tensor, indices: Tensor) -> None:
        """Add the output for a batch of images, their true classes (B,) and their indices (B,), both on the CPU."""
        if self._known is None:
            self._known = has_probabilities(self.model, output)
        if self._known:
            top, predicted = self.model.probabilities(output.scores.float()).max(dim=1)
            sure, before = (top >= SURE).cpu(), self.sure or (0, 0)
            correct = sure & (predicted.cpu() == labels)
            self.sure = before[0] + int(sure.sum()), before[1] + int(correct.sum())
        deciding = deciding_similarity(self.model, output)
        if deciding is None:
            return
        for similarity, index in zip(deciding[0].float().tolist(), indices.tolist(), strict=True):
            self._keep((-similarity, -index))

    def state(self) -> dict[str, Any]:
        """Return the counts as plain values."""
        return {"sure": self.sure, "least": list(self._least)}

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add the counts that `state` returned for other images."""
        if state["sure"] is not None:
            before, other = self.sure or (0, 0), state["sure"]
            self.sure = before[0] + other[0], before[1] + other[1]
        for entry in state["least"]:
            self._keep(entry)

    def _keep(self, entry: tuple[float, int]) -> None:
        heapq.heappush(self._least, entry)
        if len(self._least) > KEPT:
            heapq.heappop(self._least)

    @property
    def least_familiar(self) -> tuple[int, ...]:
        """The indices of the images with the smallest deciding similarity, the smallest first."""
        return tuple(-index for _, index in sorted(self._least, reverse=True))


def has_probabilities(model: Classifier, output: Output) -> bool:
    """Return whether a model's probabilities were trained: scores that are similarities without weights were not.

    Args:
        model: the model.
        output: for at least one image.
    """
    if model.traits.score_kind == "votes" or not len(output.scores):
        return False
    if not isinstance(model, PrototypeModel) or model.traits.score_kind == "probability":
        return True
    classes = torch.zeros(len(output.scores), dtype=torch.int64, device=output.scores.device)
    return model.evidence(output, classes).weights is not None
