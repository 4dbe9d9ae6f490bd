"""Evidence for the difference of two scores: that of the class minus that of the reference, reason by reason."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.core.output import Evidence, Output
from resemblance.core.prototype_model import PrototypeModel
from resemblance.explain.against.compared_with import Against, Reference, ReferenceKind

NEGATIVE = 0.25  # the share of negative weights from which logits need a reference: here 0.00 to 0.04, or 0.46 to 0.82
SAMPLED = 20  # classes whose weights are read for it


class Comparison:
    """Subtracts the evidence of a reference from that of the explained classes of a batch.

    Contributions, bias and weights are subtracted reason by reason, so that they add up to the difference of the
    scores. Where a class would be compared with itself, it is compared with the strongest other class.

    Args:
        model: a model with prototypes.
        output: its output for B images.
        against: the reference; ``auto`` is what `default_against` returns.
    """

    def __init__(self, model: PrototypeModel, output: Output, against: Against) -> None:
        self.model, self.output = model, output
        self.scores = precise(output.scores)
        self.against = default_against(model, output) if against == "auto" else against
        if output.scores.shape[1] < 2:
            self.against = "none"

    @cached_property
    def mean(self) -> tuple[Evidence, Tensor]:
        """The evidence of the mean of the classes, which is the same for all explained classes."""
        return mean_evidence(self.model, self.output)

    def apply(self, evidence: Evidence, classes: Tensor) -> tuple[Evidence, list[Reference] | None]:
        """Return the evidence for the difference in float64, and the reference of each image.

        For the plain score, these are the evidence as it is, and None.

        Args:
            evidence: the evidence for ``classes``.
            classes: (B,), the explained class of each image.

        Raises:
            UserError: if the reasons of two classes are not the same, so that they cannot be subtracted.
        """
        against, names = self.against, self.model.spec.classes
        if against == "none":
            return evidence, None
        others: list[int | None] = [None] * len(classes)
        if against == "mean":
            subtracted, size = self.mean
            values = self.scores.mean(dim=1)
        else:
            rivals = strongest_others(self.scores, classes)
            if isinstance(against, int):
                rivals = torch.where(classes == against, rivals, against)
            subtracted = self.model.evidence(self.output, rivals)
            size, values = magnitude(subtracted), self.scores.gather(1, rivals[:, None])[:, 0]
            others = [int(index) for index in rivals]
        sizes = (size + magnitude(evidence)).tolist()
        references = [
            Reference(_kind(other, against), value, summands, other, None if other is None else names[other])
            for other, value, summands in zip(others, values.tolist(), sizes, strict=True)
        ]
        return subtract(self.model, evidence, subtracted), references


def _kind(other: int | None, against: Against) -> ReferenceKind:
    if other is None:
        return "mean"
    return "class" if other == against else "runner-up"


def default_against(model: PrototypeModel, output: Output) -> Against:
    """Return the reference of explanations that name none: the mean of the classes where logits need one, else none.

    They do where many weights are negative: the last layer then lowers the scores of all classes alike, and only their
    differences mean something. Where weights are positive, a score of zero means that nothing was found. The
    measurements behind this are in docs/concepts.md.
    """
    if model.traits.score_kind != "logit":
        return "none"
    negative = total = 0.0
    batch, count = output.scores.shape
    for index in range(0, count, -(-count // SAMPLED)):
        weights = model.evidence(output, torch.full((batch,), index, device=output.scores.device)).weights
        if weights is None:
            return "none"
        negative += float(weights.clamp_max(0).abs().sum())
        total += float(weights.abs().sum())
    return "mean" if negative > NEGATIVE * total else "none"


def mean_evidence(model: PrototypeModel, output: Output) -> tuple[Evidence, Tensor]:
    """Return the mean of the evidence of all classes, and the mean of Σ|contributions| + |bias|, (B,).

    The encoder and the prototypes have run once for all classes; only the weights differ between them. Evidence is
    added up class by class, so that the memory does not grow with their number.

    Raises:
        UserError: if the reasons of two classes differ.
    """
    batch, count = output.scores.shape
    first = model.evidence(output, torch.zeros(batch, dtype=torch.int64, device=output.scores.device))
    contributions, bias, size = (
        precise(first.contributions) / count,
        precise(first.bias) / count,
        magnitude(first),
    )
    weights = None if first.weights is None else precise(first.weights) / count
    for index in range(1, count):
        evidence = model.evidence(output, torch.full((batch,), index, device=output.scores.device))
        _check_same_reasons(model, first, evidence)
        contributions.add_(evidence.contributions, alpha=1 / count)
        bias.add_(evidence.bias, alpha=1 / count)
        size.add_(magnitude(evidence))
        if weights is not None and evidence.weights is not None:
            weights.add_(evidence.weights, alpha=1 / count)
    return replace(first, contributions=contributions, bias=bias, weights=weights), size / count


def subtract(model: PrototypeModel, evidence: Evidence, subtracted: Evidence) -> Evidence:
    """Return the difference of two pieces of evidence with the same reasons, in float64; similarities and paths stay.

    Raises:
        UserError: if their reasons differ.
    """
    _check_same_reasons(model, evidence, subtracted)
    weights = None
    if evidence.weights is not None and subtracted.weights is not None:
        weights = precise(evidence.weights) - precise(subtracted.weights)
    return replace(
        evidence,
        contributions=precise(evidence.contributions) - precise(subtracted.contributions),
        bias=precise(evidence.bias) - precise(subtracted.bias),
        weights=weights,
    )


def strongest_others(scores: Tensor, classes: Tensor) -> Tensor:
    """Return for each row the class with the largest score other than ``classes``, (B,).

    Example:
        >>> strongest_others(torch.tensor([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0]]), torch.tensor([0, 2])).tolist()
        [2, 0]
    """
    return scores.scatter(1, classes[:, None], -torch.inf).argmax(dim=1)


def magnitude(evidence: Evidence) -> Tensor:
    """Return Σ|contributions| + |bias|, (B,), to which the rounding error of a score is proportional."""
    return precise(evidence.contributions.abs().sum(dim=1) + evidence.bias.abs())


def precise(values: Tensor) -> Tensor:
    """Return the values in float64, or in float32 on Apple's GPUs, which have no other."""
    return values.float() if values.device.type == "mps" else values.double()


def _check_same_reasons(model: PrototypeModel, first: Evidence, second: Evidence) -> None:
    if first.contributions.shape != second.contributions.shape or not torch.equal(
        first.prototypes, second.prototypes
    ):
        raise UserError(
            f"the reasons of {model.name} are not the same for all classes: explain the plain score (against none)"
        )
