"""How the scores of several models are put together.

Scores that are all logits are summed, as ProtoPNet, TesNet and similar methods do: the sum is again a sum of
contributions, those of all members side by side. Other scores are turned into probabilities and averaged, as
ProtoTree's: logits by softmax, votes by dividing by all votes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from resemblance.core.traits import ScoreKind

Rule = Literal["sum of the logits", "mean of the probabilities"]


def rule_for(kinds: Sequence[ScoreKind]) -> Rule:
    """Return how scores of these kinds are put together.

    Example:
        >>> rule_for(["logit", "logit"]), rule_for(["logit", "votes"])
        ('sum of the logits', 'mean of the probabilities')
    """
    return "sum of the logits" if set(kinds) == {"logit"} else "mean of the probabilities"


def additive(kinds: Sequence[ScoreKind]) -> bool:
    """Whether contributions of the members add up to the ensemble's score: not through the softmax of logits.

    Example:
        >>> additive(["logit", "logit"]), additive(["votes", "probability"]), additive(["logit", "votes"])
        (True, True, False)
    """
    return set(kinds) == {"logit"} or "logit" not in kinds


def probabilities(scores: Tensor, kind: ScoreKind) -> Tensor:
    """Turn scores (B, C) into probabilities: softmax of logits, shares of votes, equal where there are none.

    Example:
        >>> probabilities(torch.tensor([[3.0, 1.0], [0.0, 0.0]]), "votes")
        tensor([[0.7500, 0.2500],
                [0.5000, 0.5000]])
    """
    if kind == "logit":
        return scores.softmax(dim=1)
    if kind == "probability":
        return scores
    total = scores.sum(dim=1, keepdim=True)
    return torch.where(total > 0, scores / total.clamp_min(1e-12), 1 / scores.shape[1])


def combine(scores: Sequence[Tensor], kinds: Sequence[ScoreKind]) -> Tensor:
    """Compute the scores (B, C) of an ensemble.

    Args:
        scores: (B, C) of each member, the same images and classes.
        kinds: what each member's scores are.

    Returns:
        The sum of the logits where all are logits, else the mean of the probabilities.

    Example:
        >>> two = [torch.tensor([[2.0, 0.0]]), torch.tensor([[-1.0, 0.5]])]
        >>> combine(two, ["logit", "logit"])
        tensor([[1.0000, 0.5000]])
    """
    if rule_for(kinds) == "sum of the logits":
        return torch.stack(list(scores)).sum(dim=0)
    return torch.stack([probabilities(s, kind) for s, kind in zip(scores, kinds, strict=True)]).mean(dim=0)


def share(scores: Tensor, kind: ScoreKind, members: int, rule: Rule) -> tuple[Tensor, Tensor]:
    """Return the factor (B,) and the constant (B,) by which a member's contributions become those of the ensemble.

    Args:
        scores: (B, C), the member's.
        kind: what they are.
        members: how many there are.
        rule: how scores are put together; additive.
    """
    one = scores.new_ones(len(scores))
    if rule == "sum of the logits":
        return one, 0 * one
    if kind == "probability":
        return one / members, 0 * one
    total = scores.sum(dim=1)
    silent = total <= 0  # all classes are equally likely, for no reason
    factor = torch.where(silent, 0, 1 / total.clamp_min(1e-12))
    return factor / members, torch.where(silent, 1 / scores.shape[1], 0) / members
