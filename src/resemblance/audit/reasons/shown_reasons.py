"""The reasons that an explanation shows, as numbers that an attack can push."""

from __future__ import annotations

import torch
from torch import Tensor

from resemblance.core.output import Output
from resemblance.core.prototype_model import PrototypeModel
from resemblance.explain.selection import evidence_of, ranked_reasons

BARRIER = 1e3  # below any value that an attack reaches while its conditions hold
BUFFER = 0.1  # an attack keeps this part of the distance that an image had from breaking a condition
PUSH = 10.0  # how strongly an attack returns to this distance


def strengths(model: PrototypeModel, output: Output, classes: Tensor) -> Tensor:
    """Return how strong each reason for a class is, with gradient; the strongest is the one that is shown first.

    The number is the one by which the method orders its reasons. Where it has no gradient, another one of the same
    order takes its place: presences before small ones are cut (PIP-Net), similarities of the class's own prototypes
    where only the nearest contributes (KMEx), and votes get the gradient of the similarity.

    Args:
        model: a model with prototypes.
        output: its output for B images.
        classes: (B,) int64.

    Returns:
        (B, R); −∞ for prototypes of other classes that cannot contribute.
    """
    evidence, similarities = evidence_of(model, output, classes)
    if model.traits.order == "similarity":
        return similarities
    if evidence.weights is not None:
        return evidence.weights * similarities
    if model.traits.score_kind == "votes":
        return evidence.contributions.detach() + similarities - similarities.detach()
    own = model.prototypes.owners[evidence.prototypes].T[classes]
    return similarities.masked_fill(~own, -torch.inf)


def order_of_reasons(model: PrototypeModel, output: Output, classes: Tensor) -> Tensor:
    """Return the reasons (B, R) for one class per image, in the order in which explanations show them."""
    evidence, similarities = evidence_of(model, output, classes)
    return ranked_reasons(model, evidence.contributions, similarities)


def candidates(model: PrototypeModel, output: Output, classes: Tensor, top: Tensor) -> Tensor:
    """Return which reasons (B, R) could be shown in place of the first one, ``top`` (B,).

    These are the other prototypes of the class. Where prototypes belong to no class, and where reasons are paths
    through a tree, these are all others.
    """
    evidence = model.evidence(output, classes)
    reasons = evidence.prototypes
    others = torch.ones_like(evidence.contributions, dtype=torch.bool).scatter(1, top[:, None], False)
    if evidence.paths is not None:
        return others
    owners = model.prototypes.owners
    if bool(owners.any()):
        others &= owners[reasons].T[classes]
    return others & (reasons != reasons[top][:, None])  # two slots can hold the same prototype


def lead(values: Tensor, which: Tensor) -> Tensor:
    """Return how far the number at ``which`` (B,) is above all others of its row, (B,).

    Example:
        >>> lead(torch.tensor([[3.0, 1.0, 2.5], [3.0, 1.0, 2.5]]), torch.tensor([0, 1]))
        tensor([ 0.5000, -2.0000])
    """
    own = values.gather(1, which[:, None])[:, 0]
    others = values.scatter(1, which[:, None], -torch.inf).amax(dim=1)
    return own - others


def relative_to(value: Tensor, before: Tensor) -> Tensor:
    """Return a value (B,) relative to its size before an attack, so that numbers of different units can be added."""
    size = before.detach().abs()
    return value / torch.where(size.isfinite(), size, 1.0).clamp_min(1e-6)


def on_condition(value: Tensor, *leads: Tensor) -> Tensor:
    """Return an objective (B,) for images that must keep what they have: a prediction, or a first reason.

    An image that breaks a condition is worse than any that does not. Near it, the gradient leads back.

    Args:
        value: (B,), what is raised.
        leads: (B,) each, positive while the condition holds, and 1 for the image as it was.
    """
    for kept in leads:
        value = value - BARRIER * (kept <= 0) - PUSH * (BUFFER - kept).clamp_min(0)
    return value
