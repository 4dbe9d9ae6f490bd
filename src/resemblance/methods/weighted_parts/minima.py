"""Smallest distances among some of the prototypes: what cluster and separation losses look at."""

from __future__ import annotations

import torch
from torch import Tensor


def masked_minimum(distances: Tensor, mask: Tensor) -> Tensor:
    """The smallest of the masked distances in each row, infinite where the mask is empty: (B, P) → (B,)."""
    return distances.masked_fill(~mask, torch.inf).amin(dim=1)


def mean_minimum(distances: Tensor, mask: Tensor) -> Tensor:
    """The mean of `masked_minimum` over the rows that have one; 0 if none has.

    Example:
        >>> distances = torch.tensor([[0.2, 0.5], [0.3, 0.1], [9.0, 9.0]])
        >>> mean_minimum(distances, torch.tensor([[True, True], [True, False], [False, False]]))
        tensor(0.2500)
    """
    minimum = masked_minimum(distances, mask)
    found = minimum.isfinite()
    return torch.where(found, minimum, 0).sum() / found.sum().clamp_min(1)


def released_minimum(distances: Tensor, mask: Tensor, largest: int) -> Tensor:
    """The authors' way to the same: D_max − max((D_max − d)·mask); wrong beyond D_max, with no gradient."""
    return largest - ((largest - distances) * mask).amax(dim=1)
