"""Combine the scores of several models.

If all scores are logits they are summed, as for ProtoPNet, TesNet and similar methods: the sum is again a sum of
contributions, those of all members. Other scores are converted to probabilities and averaged, as for ProtoTree:
logits by softmax, votes by dividing by the sum of all votes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from resemblance.core.probabilities import as_probabilities
from resemblance.core.traits import ScoreKind

Rule = Literal["sum of the logits", "mean of the probabilities"]


def rule_for(kinds: Sequence[ScoreKind]) -> Rule:
    """Return the rule by which scores of these kinds are combined.

    Example:
        >>> rule_for(["logit", "logit"]), rule_for(["logit", "votes"])
        ('sum of the logits', 'mean of the probabilities')
    """
    return "sum of the logits" if set(kinds) == {"logit"} else "mean of the probabilities"


def additive(kinds: Sequence[ScoreKind]) -> bool:
    """Check whether the members' contributions add up to the ensemble's score: not if logits go through a softmax.

    Example:
        >>> additive(["logit", "logit"]), additive(["votes", "probability"]), additive(["logit", "votes"])
        (True, True, False)
    """
    return set(kinds) == {"logit"} or "logit" not in kinds


def combine(scores: Sequence[Tensor], kinds: Sequence[ScoreKind]) -> Tensor:
    """Compute the scores (B, C) of an ensemble.

    Args:
        scores: (B, C) of each member, for the same images and classes.
        kinds: the kind of each member's scores.

    Returns:
        The sum of the logits if all are logits, otherwise the mean of the probabilities.

    Example:
        >>> two = [torch.tensor([[2.0, 0.0]]), torch.tensor([[-1.0, 0.5]])]
        >>> combine(two, ["logit", "logit"])
        tensor([[1.0000, 0.5000]])
    """
    if rule_for(kinds) == "sum of the logits":
        return torch.stack(list(scores)).sum(dim=0)
    return torch.stack([as_probabilities(s, kind) for s, kind in zip(scores, kinds, strict=True)]).mean(dim=0)


def share(scores: Tensor, kind: ScoreKind, members: int, rule: Rule) -> tuple[Tensor, Tensor]:
    """Return the factor (B,) and the constant (B,) that convert a member's contributions to those of the ensemble.

    Args:
        scores: (B, C), the member's scores.
        kind: their kind.
        members: number of members.
        rule: the rule by which scores are combined.
    """
    one = scores.new_ones(scores.shape[0])
    if rule == "sum of the logits":
        return one, 0 * one
    if kind == "probability":
        return one / members, 0 * one
    total = scores.sum(dim=1)
    no_votes = total <= 0  # all classes are equally likely, without a reason
    factor = torch.where(no_votes, 0, 1 / total.clamp_min(1e-12))
    return factor / members, torch.where(no_votes, 1 / scores.shape[1], 0) / members
