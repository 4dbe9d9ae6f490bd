"""Slots, by which classes choose prototypes from a pool during training (Rymarczyk et al., ECCV 2022).

A slot is a distribution q over the pool, drawn by Gumbel-Softmax from learned logits. The scale of the logits grows
from epoch to epoch, until the slot selects one prototype.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from resemblance.prototypes.precision import widened

TEMPERATURE = 0.5  # τ; the authors' code also has a decreasing temperature, which is never used
HARDENING = 30  # epochs until the scale is constant
HARD, RELEASED_HARD = 1000.0, 10_000.0  # scales at the end of training, and in the authors' evaluation


def gumbel_scale(epoch: float) -> float:
    """Return the factor of the logits in an epoch: 1000·√(e/30) up to epoch 30, then 1000.

    The authors' code has 1.3·√(a·e) with a = (1000/1.3)²/30, which is the same. The paper does not mention it.

    Args:
        epoch: e, from 0.

    Example:
        >>> [round(gumbel_scale(epoch), 2) for epoch in (0, 1, 10, 29, 30)]
        [0.0, 182.57, 577.35, 983.19, 1000.0]
    """
    return HARD * math.sqrt(min(epoch / HARDENING, 1.0))


def orthogonality(slots: Tensor) -> Tensor:
    """Compute (2 / K) Σ_{i<j} cos(q_i, q_j), mean over the classes, from slots (C, K, P) (eq. 2).

    The factor is from the authors' code. The sum of all cosines is the squared length of the sum of the unit vectors.

    Example:
        >>> orthogonality(torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]])).item()
        0.5
    """
    lengths = torch.linalg.vector_norm(slots, dim=2).clamp_min(1e-12)
    sums = (1 / lengths)[:, None] @ slots  # (C, 1, P); the unit vectors themselves are not needed
    total: Tensor = sums.square().sum()
    return total / (slots.shape[0] * slots.shape[1]) - 1


def largest(masses: Tensor, count: int) -> Tensor:
    """Mark the ``count`` largest entries of each row, (B, P) bool; of equal entries, the first are marked.

    Example:
        >>> largest(torch.tensor([[0.0, 2.0, 0.0, 1.0]]), 3)
        tensor([[ True,  True, False,  True]])
    """
    order = masses.argsort(dim=1, descending=True, stable=True)[:, :count]
    return torch.zeros_like(masses, dtype=torch.bool).scatter(1, order, True)


def is_hard(slots: Tensor) -> bool:
    """Check whether each slot (C, K, P) holds one prototype.

    Example:
        >>> is_hard(torch.eye(2)[None]), is_hard(torch.full((1, 2, 2), 0.5))
        (True, False)
    """
    return bool(((slots == 0) | (slots == 1)).all())


class Slots(nn.Module):
    """K slots for each of C classes, over a pool of P prototypes.

    Args:
        classes: C.
        slots: K.
        prototypes: P.
        noisy: whether evaluation uses a Gumbel draw at a scale of 10,000, as in the authors' code, instead of the
            largest logit. The draw is the same each time, so that results are reproducible.
        gumbel: whether training draws by Gumbel-Softmax; otherwise it uses a plain softmax (the paper's ablation).

    Attributes:
        logits: (C, K, P), Xavier normal.
        noise: (C, K, P), the Gumbel noise of a noisy evaluation.

    Example:
        >>> slots = Slots(classes=3, slots=2, prototypes=5)
        >>> slots.draw(scale=100.0).sum(dim=2).allclose(torch.ones(3, 2)), slots.hard_assignment().sum(dim=2).tolist()
        (True, [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    """

    noise: Tensor

    def __init__(
        self, classes: int, slots: int, prototypes: int, noisy: bool = False, gumbel: bool = True
    ) -> None:
        super().__init__()
        self.noisy, self.gumbel = noisy, gumbel
        spread = math.sqrt(2 / (slots * (classes + prototypes)))  # of the authors' tensor (C, P, K)
        self.logits = nn.Parameter(spread * torch.randn(classes, slots, prototypes))
        self._draw_noise()

    def _draw_noise(self) -> None:
        """Draw the Gumbel noise of a noisy evaluation, the same for each pool of this size."""
        if self.noisy:
            generator = torch.Generator().manual_seed(0)
            noise = torch.empty(self.logits.shape, device="cpu").exponential_(generator=generator)
            self.register_buffer("noise", -noise.log().to(self.logits.device), persistent=False)

    def draw(self, scale: float) -> Tensor:
        """Draw q (C, K, P) for a training step: softmax((scale · A + noise) / τ), with standard Gumbel noise.

        Without Gumbel-Softmax it is softmax(A), as in the authors' code for a scale of 0.
        """
        logits = widened(self.logits)
        if not self.gumbel:
            return logits.softmax(dim=2)
        # torch's gumbel_softmax, with the same random numbers but fewer tensors of this size
        noise = torch.empty_like(logits).exponential_().log_().mul_(-1 / TEMPERATURE)
        return noise.add(logits, alpha=scale / TEMPERATURE).softmax(dim=2)

    @torch.no_grad()
    def hard_assignment(self) -> Tensor:
        """Return q (C, K, P) in evaluation: one for the largest logit, zero for the others.

        The paper sets entries above ½ to one, which is the same if there is one.
        """
        if self.noisy:
            return ((RELEASED_HARD * widened(self.logits) + self.noise) / TEMPERATURE).softmax(dim=2)
        return torch.zeros_like(widened(self.logits)).scatter(2, self.assigned()[:, :, None], 1.0)

    @torch.no_grad()
    def assigned(self) -> Tensor:
        """Return the prototype that each slot holds, (C, K) int64."""
        return (self.hard_assignment() if self.noisy else self.logits).argmax(dim=2)

    @torch.no_grad()
    def harden(self) -> None:
        """End the choice: the logits become one for the prototype that a slot holds, zero for others."""
        assigned = self.assigned()[:, :, None]
        self.logits.copy_(torch.zeros_like(self.logits).scatter(2, assigned, 1.0))

    def keep(self, indices: Tensor) -> None:
        """Drop all prototypes but those at ``indices`` from the pool."""
        kept = self.logits.detach()[:, :, indices].clone()
        self.logits = nn.Parameter(kept, requires_grad=self.logits.requires_grad)
        self._draw_noise()
