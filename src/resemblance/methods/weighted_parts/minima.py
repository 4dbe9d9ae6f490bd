"""Smallest distances to some of the prototypes, for the cluster and separation losses."""

from __future__ import annotations

import torch
from torch import Tensor


def masked_minimum(distances: Tensor, mask: Tensor) -> Tensor:
    """Return the smallest of the masked distances in each row, (B, P) → (B,); infinite where the mask is empty."""
    return distances.masked_fill(~mask, torch.inf).amin(dim=1)


def mean_minimum(distances: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of `masked_minimum` over the rows whose mask is not empty; 0 if all masks are empty.

    Example:
        >>> distances = torch.tensor([[0.2, 0.5], [0.3, 0.1], [9.0, 9.0]])
        >>> mean_minimum(distances, torch.tensor([[True, True], [True, False], [False, False]]))
        tensor(0.2500)
    """
    minimum = masked_minimum(distances, mask)
    finite = minimum.isfinite()
    return torch.where(finite, minimum, 0).sum() / finite.sum().clamp_min(1)


def released_minimum(distances: Tensor, mask: Tensor, largest: int) -> Tensor:
    """Compute the minimum as the authors' code does: D_max − max((D_max − d)·mask).

    It is wrong for distances above D_max, and has no gradient there.
    """
    return largest - ((largest - distances) * mask).amax(dim=1)
