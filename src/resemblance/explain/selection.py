"""Which reasons an explanation shows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from resemblance.core.output import Evidence, Output
from resemblance.core.prototype_model import PrototypeModel


@dataclass(frozen=True)
class Selection:
    """The evidence of one class an image and which reasons of it are shown, best first."""

    classes: Tensor
    evidence: Evidence
    similarities: Tensor  # (B, R)
    shown: list[Tensor]  # B × (k,) reasons

    def prototypes(self, row: int) -> list[int]:
        """The prototypes behind the reasons that an image shows."""
        found: list[int] = self.evidence.prototypes[self.shown[row]].tolist()
        return found

    def ways(self, row: int) -> list[list[tuple[int, bool]]]:
        """Prototypes and turns on the ways to these reasons; empty where reasons are no paths."""
        paths, shown = self.evidence.paths, self.shown[row]
        if paths is None:
            return [[] for _ in shown]
        rows = zip(paths.prototypes[shown].tolist(), paths.present[shown].tolist(), strict=True)
        return [[(p, turn) for p, turn in zip(*way, strict=True) if p >= 0] for way in rows]


def select(
    model: PrototypeModel, output: Output, classes: Tensor, top: int | None, chosen: list[int] | None
) -> Selection:
    """The ``top`` reasons (all: None) for one class an image, or those of the ``chosen`` prototypes.

    Of paths, the ``top`` ones that pass any of the ``chosen``.

    Ordered as the method orders them; by contribution, reasons that contribute nothing are left out. All leaves of
    a tree contribute something: of paths, those are left out that carry less than a thousandth.
    """
    evidence, similarities = _evidence(model, output, classes)
    contributions = evidence.contributions
    if chosen is not None and evidence.paths is None:
        found = [(evidence.prototypes == p).nonzero().flatten() for p in chosen]
        return Selection(classes, evidence, similarities, [torch.cat(found)] * len(classes))
    order = similarities.argsort(dim=1, descending=True, stable=True)
    if model.traits.order == "contribution":  # equal contributions: the more similar first
        order = order.gather(1, contributions.gather(1, order).argsort(dim=1, descending=True, stable=True))
    shown = []
    least = 0.0 if evidence.paths is None else 1e-3
    for row, ranked in enumerate(order):
        if model.traits.order == "contribution":
            parts = contributions[row, ranked].abs()
            ranked = ranked[(parts > 0) & (parts >= least * parts.sum())]
        if chosen is not None and evidence.paths is not None:
            passed = torch.isin(evidence.paths.prototypes, ranked.new_tensor(chosen)).any(dim=1)
            ranked = ranked[passed[ranked]]
        shown.append(ranked[:top])
    return Selection(classes, evidence, similarities, shown)


def _evidence(model: PrototypeModel, output: Output, classes: Tensor) -> tuple[Evidence, Tensor]:
    evidence = model.evidence(output, classes)
    if evidence.similarities is not None:
        return evidence, evidence.similarities.float()
    return evidence, output.similarities.float()[:, evidence.prototypes]


def counter_classes(
    scores: Tensor, predictions: Tensor, explained: Tensor, labels: list[int | None]
) -> Tensor:
    """The class beside the explained one: the missed truth, else the prediction, else the runner-up."""
    without = scores.scatter(1, explained[:, None], -torch.inf)
    counters = torch.where(explained == predictions, without.argmax(dim=1), predictions)
    for row, label in enumerate(labels):
        if label is not None and label != int(predictions[row]) and label != int(explained[row]):
            counters[row] = label
    return counters


def best_reason(model: PrototypeModel, output: Output, classes: Tensor) -> Selection:
    """The one best reason for each class; none where a class has neither contributions nor prototypes."""
    evidence, similarities = _evidence(model, output, classes)
    contributions = evidence.contributions
    own = model.prototypes.owners[evidence.prototypes].T[classes]  # (B, R)
    top = contributions.amax(dim=1, keepdim=True)
    # Among equal contributions the most similar; where nothing contributes, the most similar of the class.
    candidates = torch.where((contributions != 0).any(dim=1, keepdim=True), contributions == top, own)
    best = similarities.masked_fill(~candidates, -torch.inf).argmax(dim=1)
    shown = [best[row : row + 1] if candidates[row].any() else best[:0] for row in range(len(classes))]
    return Selection(classes, evidence, similarities, shown)
