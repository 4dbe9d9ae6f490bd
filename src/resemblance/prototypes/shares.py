"""The shares of the channels of a patch in its similarity to a prototype: where relevance begins."""

from __future__ import annotations

import torch
from torch import Tensor

GUARD = 1e-12  # keeps the shares finite where patch and prototype agree
AGREEMENT = 1e-5  # relative difference up to which a patch is the prototype itself
EPSILON = 1e-6  # of the ε rule


def distance_shares(patches: Tensor, vectors: Tensor, released: bool = False) -> Tensor:
    """Return shares in proportion to 1 / ((z − p)² + ε) (Gautam et al. 2023, PRP).

    A channel whose z is 0 can pass no relevance on and has no share. Where patch and prototype are the same, rounding
    would decide: the shares are equal there.

    Args:
        patches: z, (n, L).
        vectors: p, (n, L).
        released: the bare formula, in which channels that are 0 in both take all relevance and lose it.

    Returns:
        (n, L) with sums of 1; 0 for a patch of zeros.

    Example:
        >>> distance_shares(torch.tensor([[1.0, 2.0]]), torch.zeros(1, 2))
        tensor([[0.8000, 0.2000]])
        >>> distance_shares(torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([[0.0, 1.0, 2.0]]))
        tensor([[0.0000, 0.5000, 0.5000]])
    """
    closeness = 1 / ((patches - vectors).square() + GUARD)
    if released:
        return closeness / closeness.sum(dim=1, keepdim=True)
    alive = patches != 0
    limit = AGREEMENT * (1 + patches.abs().amax(dim=1, keepdim=True))
    same = ((patches - vectors).abs() <= limit).all(dim=1, keepdim=True)
    closeness = torch.where(same, 1.0, closeness) * alive
    return closeness / closeness.sum(dim=1, keepdim=True).clamp_min(torch.finfo(closeness.dtype).tiny)


def product_shares(patches: Tensor, vectors: Tensor) -> Tensor:
    """Return the shares z_j p_j / Σ_i z_i p_i of an inner product, by the ε rule.

    Args:
        patches: z, (n, L).
        vectors: p, (n, L).

    Example:
        >>> product_shares(torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 3.0]]))
        tensor([[0.2500, 0.7500]])
    """
    products = patches * vectors
    total = products.sum(dim=1, keepdim=True)
    return products / (total + torch.where(total < 0, -EPSILON, EPSILON))
