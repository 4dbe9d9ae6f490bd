"""Slots: how classes choose their prototypes from a pool while training (Rymarczyk et al., ECCV 2022).

A slot is a distribution q over the pool, drawn by Gumbel-Softmax from logits that are learned. Its scale grows from
epoch to epoch, and the slot settles for one prototype.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resemblance.prototypes.precision import widened

TEMPERATURE = 0.5  # τ; the authors' code has a falling one besides, which nothing reads
HARDENING = 30  # epochs until the scale stays
HARD, RELEASED_HARD = 1000.0, 10_000.0  # scales at the end of training, and in the authors' evaluation


def gumbel_scale(epoch: float) -> float:
    """By what the logits are multiplied in an epoch: 1000·√(e/30), then 1000.

    The authors write 1.3·√(a·e) with a = (1000/1.3)²/30, which is the same. The paper is silent.

    Args:
        epoch: e, from 0.

    Example:
        >>> [round(gumbel_scale(epoch), 2) for epoch in (0, 1, 10, 29, 30)]
        [0.0, 182.57, 577.35, 983.19, 1000.0]
    """
    return HARD * math.sqrt(min(epoch / HARDENING, 1.0))


def orthogonality(slots: Tensor) -> Tensor:
    """(2 / K) Σ_{i<j} cos(q_i, q_j), averaged over the classes, from (C, K, P) (eq. 2).

    The factor is the authors'. The sum of all cosines is the squared length of the sum of the unit vectors.

    Example:
        >>> orthogonality(torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]])).item()
        0.5
    """
    units = F.normalize(slots, dim=2)
    return units.sum(dim=1).square().sum() / (slots.shape[0] * slots.shape[1]) - 1


def largest(masses: Tensor, count: int) -> Tensor:
    """(B, P) bool, the ``count`` largest entries of each row; ties go to the lowest index.

    Example:
        >>> largest(torch.tensor([[0.0, 2.0, 0.0, 1.0]]), 3)
        tensor([[ True,  True, False,  True]])
    """
    order = masses.argsort(dim=1, descending=True, stable=True)[:, :count]
    return torch.zeros_like(masses, dtype=torch.bool).scatter(1, order, True)


class Slots(nn.Module):
    """K slots for each of C classes, over a pool of P prototypes.

    Args:
        classes: C.
        slots: K.
        prototypes: P.
        noisy: settle by a Gumbel draw at a scale of 10,000, as the authors' code does, instead of the largest
            logit. It is the same draw each time, so that answers repeat.

    Attributes:
        logits: (C, K, P), Xavier normal.

    Example:
        >>> slots = Slots(classes=3, slots=2, prototypes=5)
        >>> slots.draw(scale=100.0).sum(dim=2).allclose(torch.ones(3, 2)), slots.settled().sum(dim=2).tolist()
        (True, [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    """

    def __init__(self, classes: int, slots: int, prototypes: int, noisy: bool = False) -> None:
        super().__init__()
        self.noisy = noisy
        spread = math.sqrt(2 / (slots * (classes + prototypes)))  # of the authors' tensor (C, P, K)
        self.logits = nn.Parameter(spread * torch.randn(classes, slots, prototypes))

    def draw(self, scale: float) -> Tensor:
        """q (C, K, P) for a training step: softmax((scale · A + noise) / τ), the noise standard Gumbel."""
        return F.gumbel_softmax(scale * widened(self.logits), TEMPERATURE, dim=2)

    @torch.no_grad()
    def settled(self) -> Tensor:
        """q (C, K, P) in evaluation: one for the largest logit, zero for the others.

        The paper sets entries above ½ to one; for a distribution that is sharp enough to have one, it is the same.
        """
        logits = widened(self.logits)
        if self.noisy:
            generator = torch.Generator().manual_seed(0)
            noise = -torch.empty(logits.shape).exponential_(generator=generator).log().to(logits.device)
            return ((RELEASED_HARD * logits + noise) / TEMPERATURE).softmax(dim=2)
        return torch.zeros_like(logits).scatter(2, logits.argmax(dim=2, keepdim=True), 1.0)

    def held(self) -> Tensor:
        """(C, K) int64: the prototype that each slot holds."""
        return self.settled().argmax(dim=2)

    @torch.no_grad()
    def settle(self) -> None:
        """End the choice: the logits become one for what is held, and zero."""
        held = self.held()[:, :, None]
        self.logits.copy_(torch.zeros_like(self.logits).scatter(2, held, 1.0))

    def keep(self, indices: Tensor) -> None:
        """Drop all prototypes but those at ``indices`` from the pool."""
        kept = self.logits.detach()[:, :, indices].clone()
        self.logits = nn.Parameter(kept, requires_grad=self.logits.requires_grad)
