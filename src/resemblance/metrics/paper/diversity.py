"""Interpreted diversity (D_dvs): how similar a class's prototypes are to each other, by the model's own similarity."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from resemblance.config.definition import Definition
from resemblance.metrics.measure import Measure

Scope = Literal["class", "all"]


def row_entropies(similarities: Tensor) -> Tensor:
    """Compute the entropy of the softmax of each row, divided by its largest possible value, log K.

    Args:
        similarities: (K, K), row k: the similarities of prototype k to all prototypes, itself among them.

    Returns:
        (K,) float64 in [0, 1]; p log p is 0 where p is 0; NaN for a row with a NaN or +∞, and where K is 1.

    Source: Gautam et al. 2024 (KMEx), eq. 4.

    Example:
        >>> row_entropies(torch.zeros(2, 2)).tolist(), row_entropies(torch.tensor([[2000.0, 0.0]])).tolist()
        ([1.0, 1.0], [0.0])
    """
    logs = similarities.double().log_softmax(dim=1)
    terms = torch.where(logs == -torch.inf, 0.0, logs.exp() * logs)
    entropies = -terms.sum(dim=1) + 0.0  # no −0
    most = torch.tensor(similarities.shape[1], dtype=torch.float64, device=logs.device).log()
    return (entropies / most).clamp_max(1)


def released_row_entropies(similarities: Tensor) -> Tensor:
    """Compute the entropies of all rows (K,) as the authors' code does: in float32, and 1 where 0 · log 0 is NaN.

    Example:
        >>> released_row_entropies(torch.tensor([[200.0, 0.0], [0.0, 200.0]]))
        tensor([1., 1.])
    """
    p = similarities.float().softmax(dim=1)
    entropies = -(p * p.log()).sum(dim=1) / torch.tensor(float(similarities.shape[1])).log()
    return entropies.nan_to_num(nan=1.0)


class Diversity(Measure):
    """D_dvs: the normalised entropy of the similarities between prototypes, mean over classes; lower is more diverse.

    Args:
        scope: ``"class"``: prototypes are compared with those of their class, as the paper's text says. ``"all"``: with
            all prototypes.
        definition: ``"released"`` is the authors' code: softmax over all K prototypes, log K of all, float32, and a row
            whose entropy is NaN, because a probability underflows to 0, counts as 1, which is the worst value. Its
            similarities are those of `released_similarities`.

    Attributes:
        counts: models; classes that were measured; single, classes left out because they have one prototype; empty,
            classes without any; undefined, prototypes left out because of a NaN (``"released"``: which count as 1).

    Source: Gautam et al. 2024 (KMEx), eq. 4 and table 7.

    Example:
        >>> from resemblance.prototypes.pairwise import pairwise_similarities
        >>> diversity = Diversity()
        >>> similarities = pairwise_similarities(torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
        >>> diversity.update(similarities, torch.ones(2, 1, dtype=torch.bool))
        >>> round(diversity.compute().item(), 8)
        0.00274532
    """

    higher_is_better = False
    definitions: ClassVar[tuple[Definition, ...]] = ("default", "released")
    counts: ClassVar[tuple[str, ...]] = ("models", "classes", "single", "empty", "undefined")

    total: Tensor
    models: Tensor
    classes: Tensor
    single: Tensor
    empty: Tensor
    undefined: Tensor

    def __init__(self, scope: Scope = "class", definition: Definition = "default") -> None:
        super().__init__(definition)
        if scope not in ("class", "all"):
            raise ValueError(f"scope must be 'class' or 'all', not {scope!r}")
        self.scope = "all" if definition == "released" else scope
        self.add_sum("total", dtype=torch.float64)
        for name in self.counts:
            self.add_sum(name)

    def update(self, similarities: Tensor, owners: Tensor) -> None:
        """Measure the prototypes of a model.

        Args:
            similarities: (P, P), row k: the similarities of prototype k to all prototypes.
            owners: (P, C) bool, the classes of each prototype.
        """
        entropies = row_entropies if self.definition == "default" else released_row_entropies
        groups = owners.bool().T if self.scope == "class" else torch.ones_like(owners[:, :1].bool()).T
        means = []
        for members in groups:
            rows = similarities[members][:, members]
            if self.definition == "default":
                broken = rows.diagonal().isnan()
                self.accumulate(undefined=broken.sum())
                rows = rows[~broken][:, ~broken]
            if len(rows) < 2:
                self.accumulate(single=len(rows), empty=1 - len(rows))
                continue
            self.accumulate(undefined=row_entropies(rows).isnan().sum())
            means.append(entropies(rows).double().nanmean())
        measured = torch.stack(means) if means else similarities.new_empty(0, dtype=torch.float64)
        measured = measured[~measured.isnan()]
        self.accumulate(classes=len(measured))
        if len(measured):
            self.accumulate(total=measured.mean(), models=1)

    def compute(self) -> Tensor:
        """Return D_dvs, float64, mean over the models; NaN if no class has more than one prototype."""
        return self.total / self.models
