"""Collect the reference of a model's similarities in a pass over the validation images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from resemblance.core.classifier import Classifier
from resemblance.core.conformal import Calibration
from resemblance.core.deciding import deciding_similarity
from resemblance.core.distributed import world
from resemblance.core.output import Output
from resemblance.core.reference import Reference, SimilarityRange


class ReferenceCounts:
    """Collects the reference of a model, batch by batch, in a pass that is made anyway.

    The result does not depend on the order of the images.

    Args:
        model: the model.
    """

    def __init__(self, model: Classifier) -> None:
        self.model = model
        self._rows: list[dict[str, NDArray[Any]]] = []

    def add(self, output: Output, labels: Tensor) -> None:
        """Add the model's output for a batch of validation images, and their true classes (B,)."""
        self.collect(self.read(output, labels))

    def read(self, output: Output, labels: Tensor) -> dict[str, NDArray[Any]]:
        """Return what is known of the images of a batch."""
        predicted, labels = output.scores.argmax(dim=1).cpu(), labels.cpu()
        probabilities = self.model.probabilities(output.scores.float()).cpu()
        row = {
            "class": labels.numpy(),
            "correct": (predicted == labels).numpy(),
            "probability": probabilities.gather(1, labels[:, None])[:, 0].numpy(),
        }
        if (deciding := deciding_similarity(self.model, output)) is not None:
            row["similarity"] = deciding[0].cpu().numpy()
        return row

    def collect(self, row: dict[str, NDArray[Any]]) -> None:
        """Add what is known of a batch."""
        self._rows.append(row)

    def result(self, before_refit: bool = False) -> Reference:
        """Return the reference, of the images of all processes, which must all call this.

        Args:
            before_refit: whether the model will be trained again, on these images, too.
        """
        rows = self._rows
        if world() > 1:
            parts: list[Any] = [None] * world()
            dist.all_gather_object(parts, rows)
            rows = [row for part in parts for row in part]
        calibration = Calibration.of(_joined(rows, "probability"))
        if not any("similarity" in row for row in rows):
            return Reference(None, (), calibration, before_refit)
        similarity = _joined(rows, "similarity")
        # A predicted class without prototypes has no deciding similarity.
        known = _joined(rows, "correct").astype(bool) & np.isfinite(similarity)
        classes = _joined(rows, "class")
        return Reference(
            SimilarityRange.of(similarity[known]),
            tuple(
                SimilarityRange.of(similarity[known & (classes == c)])
                for c in range(self.model.spec.num_classes)
            ),
            calibration,
            before_refit,
        )


def _joined(rows: Sequence[Mapping[str, NDArray[Any]]], key: str) -> NDArray[Any]:
    return np.concatenate([row[key] for row in rows]) if rows else np.zeros(0)
