"""Prototypes that are numbers which a network computes: attributes (FLINT) and concepts (SENN)."""

from __future__ import annotations

import torch
from torch import Tensor

from resemblance.prototypes.comparison import Comparison, Match
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.prototypes.precision import full_precision, widened


class ScalarPrototypes(PrototypeLayer):
    """The first P numbers of the latents are the similarities.

    Args:
        owners: (P, C) bool, multi-hot.
        absent_at_zero: an image whose number is not positive does not have the attribute at all: it is infinitely far.
        examples: how many training images are kept as examples of each; their indices are in the buffer
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
        """The numbers, (B, P)."""
        with full_precision(latents):
            return Comparison(widened(latents)[:, : len(self)])

    def match(self, latents: Tensor) -> Match:
        """The image with the largest number is the nearest."""
        match = super().match(latents)
        if self.absent_at_zero:
            match.values = torch.where(match.values < 0, match.values, torch.inf)
        return match
