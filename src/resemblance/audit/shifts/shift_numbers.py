"""The numbers of one change, from the records of all images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from resemblance.audit.shifts.reason_agreement import Agreement
from resemblance.metrics.suite.result import finite


@dataclass(frozen=True)
class ShiftNumbers:
    """What stays the same between two versions of images.

    Args:
        agreement: of all images, each entry (N,).
        clean_correct: (N,) float64, 1 where the first version is classified correctly; None without labels.
        correct: (N,) float64, the same of the second version; None without labels or for other images.
    """

    agreement: Agreement
    clean_correct: Tensor | None = None
    correct: Tensor | None = None

    @classmethod
    def of(cls, records: Sequence[Mapping[str, Any]], labelled: bool) -> ShiftNumbers:
        """Put the records of batches together.

        Args:
            records: with the entries of `Agreement`, ``clean`` and ``labels``, and ``predicted`` of the second version.
            labelled: whether the labels are known.
        """

        def column(name: str) -> Tensor:
            return torch.cat([record[name] for record in records]) if records else torch.zeros(0).double()

        correct = clean_correct = None
        if labelled:
            labels = column("labels")
            clean_correct = (column("clean") == labels).double()
            if all("predicted" in record for record in records):
                correct = (column("predicted") == labels).double()
        return cls(Agreement(*(column(name) for name in Agreement._fields)), clean_correct, correct)

    def mean(self, name: str) -> float:
        """Return the mean of an entry of the agreement over the images where it is defined; NaN if there are none."""
        return mean(getattr(self.agreement, name))

    @property
    def top_change(self) -> Tensor:
        """The change of the similarity to the prototype that is the most similar to the first version, (N,)."""
        return self.agreement.first_top_after - self.agreement.first_top

    def to_dict(self) -> dict[str, float | None]:
        """Return a JSON-ready dictionary of the means."""
        means = {name: self.mean(name) for name in Agreement._fields}
        means["overlap_where_kept"] = mean(self.agreement.overlap[self.agreement.kept == 1])
        means["top_similarity_change"] = mean(self.top_change)
        if self.clean_correct is not None and self.correct is not None:
            means |= {"clean_accuracy": mean(self.clean_correct), "accuracy": mean(self.correct)}
        return {name: finite(value) for name, value in means.items()}


def mean(values: Tensor) -> float:
    """Return the mean of the values (N,) that are not NaN; NaN if there are none.

    Example:
        >>> mean(torch.tensor([1.0, float("nan"), 3.0]))
        2.0
    """
    return float(values.nanmean())
