"""Select the reasons that an explanation shows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from resemblance.core.output import Evidence, Output
from resemblance.core.prototype_model import PrototypeModel
from resemblance.explain.against.compared_with import Reference
from resemblance.explain.against.difference import Comparison, strongest_others


@dataclass(frozen=True)
class Selection:
    """The evidence for one class per image, or its difference from a reference, and the reasons shown, best first."""

    classes: Tensor
    evidence: Evidence
    similarities: Tensor  # (B, R)
    shown: list[Tensor]  # B × (k,) reasons
    references: list[Reference] | None = None  # B; None: the plain score

    def prototypes(self, row: int) -> list[int]:
        """Return the prototypes of the reasons shown for an image."""
        prototypes: list[int] = self.evidence.prototypes[self.shown[row]].tolist()
        return prototypes

    def paths(self, row: int) -> list[list[tuple[int, bool]]]:
        """Return each shown reason's path: prototypes, and whether they are present; empty if reasons are not paths."""
        paths, shown = self.evidence.paths, self.shown[row]
        if paths is None:
            return [[] for _ in shown]
        steps = zip(paths.prototypes[shown].tolist(), paths.present[shown].tolist(), strict=True)
        return [[(p, present) for p, present in zip(*path, strict=True) if p >= 0] for path in steps]


def select(
    model: PrototypeModel,
    output: Output,
    classes: Tensor,
    top: int | None,
    chosen: list[int] | None,
    comparison: Comparison | None = None,
) -> Selection:
    """Select the ``top`` reasons (None: all) for one class per image, or the reasons of the ``chosen`` prototypes.

    If reasons are paths, the ``top`` paths through any of the ``chosen`` prototypes are selected.

    The order is the method's. If it is by contribution, the first reason and the strongest others are selected, whether
    they speak for the class or against it, and reasons that contribute nothing are left out; since every leaf of a tree
    contributes something, paths with less than a thousandth of the score are left out.
    """
    evidence, similarities = evidence_of(model, output, classes)
    evidence, references = (evidence, None) if comparison is None else comparison.apply(evidence, classes)
    contributions = evidence.contributions
    if chosen is not None and evidence.paths is None:
        reasons = [(evidence.prototypes == p).nonzero().flatten() for p in chosen]
        return Selection(classes, evidence, similarities, [torch.cat(reasons)] * len(classes), references)
    order = ranked_reasons(model, contributions, similarities)
    shown = []
    by_similarity = model.traits.order == "similarity"
    least = 0.0 if evidence.paths is None else 1e-3
    for row, ranked in enumerate(order):
        if not by_similarity:
            parts = contributions[row, ranked].abs()
            ranked = ranked[(parts > 0) & (parts >= least * parts.sum())]
        if chosen is not None and evidence.paths is not None:
            has_chosen = torch.isin(evidence.paths.prototypes, ranked.new_tensor(chosen)).any(dim=1)
            ranked = ranked[has_chosen[ranked]]
        shown.append(ranked[:top] if by_similarity else _strongest(ranked, contributions[row], top))
    return Selection(classes, evidence, similarities, shown, references)


def _strongest(ranked: Tensor, contributions: Tensor, top: int | None) -> Tensor:
    """Return the first of the ``ranked`` reasons and the strongest of the others, still in their order."""
    if top is None or top >= len(ranked):
        return ranked
    strength = contributions[ranked].abs()
    strength[0] = torch.inf
    kept: Tensor = strength.argsort(descending=True, stable=True)[:top].sort().values
    return ranked[kept]


def ranked_reasons(model: PrototypeModel, contributions: Tensor, similarities: Tensor) -> Tensor:
    """Return all reasons (B, R) in the order in which the method shows them, best first.

    Args:
        model: its traits say by which number they are ordered.
        contributions: (B, R).
        similarities: (B, R), the similarity shown for each reason.
    """
    order = similarities.argsort(dim=1, descending=True, stable=True)
    if model.traits.order == "similarity":
        return order
    # Of equal contributions, the more similar comes first.
    return order.gather(1, contributions.gather(1, order).argsort(dim=1, descending=True, stable=True))


def evidence_of(model: PrototypeModel, output: Output, classes: Tensor) -> tuple[Evidence, Tensor]:
    """Return the evidence for one class per image, and the similarity shown for each reason, (B, R)."""
    evidence = model.evidence(output, classes)
    if evidence.similarities is not None:
        return evidence, evidence.similarities.float()
    return evidence, output.similarities.float()[:, evidence.prototypes]


def counter_classes(
    scores: Tensor, predictions: Tensor, explained: Tensor, labels: list[int | None]
) -> Tensor:
    """Return the class to compare with the explained one: a missed true class, the prediction, or the runner-up."""
    counters = torch.where(explained == predictions, strongest_others(scores, explained), predictions)
    for row, label in enumerate(labels):
        if label is not None and label != int(predictions[row]) and label != int(explained[row]):
            counters[row] = label
    return counters


def best_reason(
    model: PrototypeModel, output: Output, classes: Tensor, comparison: Comparison | None = None
) -> Selection:
    """Select the best reason for each class; none if a class has neither contributions nor prototypes."""
    evidence, similarities = evidence_of(model, output, classes)
    evidence, references = (evidence, None) if comparison is None else comparison.apply(evidence, classes)
    contributions = evidence.contributions
    own = model.prototypes.owners[evidence.prototypes].T[classes]  # (B, R)
    top = contributions.amax(dim=1, keepdim=True)
    # Of equal contributions, the most similar; if nothing contributes, the most similar prototype of the class.
    candidates = torch.where((contributions != 0).any(dim=1, keepdim=True), contributions == top, own)
    best = similarities.masked_fill(~candidates, -torch.inf).argmax(dim=1)
    shown = [best[row : row + 1] if candidates[row].any() else best[:0] for row in range(len(classes))]
    return Selection(classes, evidence, similarities, shown, references)
