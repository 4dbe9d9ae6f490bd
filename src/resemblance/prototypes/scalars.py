"""Prototypes whose similarities a network computes as numbers: attributes (FLINT) and concepts (SENN)."""

from __future__ import annotations

import torch
from torch import Tensor

from resemblance.prototypes.comparison import Comparison, Match
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.prototypes.precision import full_precision, widened


class ScalarPrototypes(PrototypeLayer):
    """Prototypes whose similarities are the first P numbers of the latents.

    Args:
        owners: (P, C) bool, multi-hot.
        absent_at_zero: an image whose number is not positive does not have the attribute: its distance is infinite.
        examples: how many training images to keep as examples of each; their indices are in the buffer
            ``examples`` (P, n), −1 while unknown.

    Example:
        >>> attributes = ScalarPrototypes(torch.zeros(2, 3), absent_at_zero=True)
        >>> attributes.match(torch.tensor([[0.5, 0.0, 7.0]])).values
        tensor([[-0.5000,     inf]])
    """

    def __init__(self, owners: Tensor, absent_at_zero: bool = False, examples: int = 0) -> None:
        super().__init__(owners)
        self.absent_at_zero = absent_at_zero
        if examples:
            unknown = torch.full((len(owners), examples), -1, dtype=torch.int64)
            self.register_buffer("examples", unknown)

    def forward(self, latents: Tensor) -> Comparison:
        """Return the numbers as similarities, (B, P)."""
        with full_precision(latents):
            return Comparison(widened(latents)[:, : len(self)])

    def match(self, latents: Tensor) -> Match:
        """Return the negative numbers as distances; infinite where the attribute is absent."""
        match = super().match(latents)
        if self.absent_at_zero:
            match.values = torch.where(match.values < 0, match.values, torch.inf)
        return match

    def shares(self, latents: Tensor, which: Tensor, released: bool = False) -> Tensor:
        """Return 1 for the prototype's own number."""
        return torch.zeros_like(latents).scatter(1, which[:, None], 1.0)
