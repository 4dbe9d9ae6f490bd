"""Probabilities of scores of any kind."""

from __future__ import annotations

import torch
from torch import Tensor

from resemblance.core.traits import ScoreKind


def as_probabilities(scores: Tensor, kind: ScoreKind) -> Tensor:
    """Convert scores (B, C) to probabilities: softmax of logits, shares of votes (equal if there are no votes).

    Example:
        >>> as_probabilities(torch.tensor([[3.0, 1.0], [0.0, 0.0]]), "votes")
        tensor([[0.7500, 0.2500],
                [0.5000, 0.5000]])
    """
    if kind == "logit":
        return scores.softmax(dim=1)
    if kind == "probability":
        return scores
    total = scores.sum(dim=1, keepdim=True)
    return torch.where(total > 0, scores / total.clamp_min(1e-12), 1 / scores.shape[1])
