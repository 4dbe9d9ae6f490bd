"""The loss of a mixture of variational autoencoders around class prototypes, as pure functions (Gautam et al. 2022)."""

from __future__ import annotations

import torch
from torch import Tensor

from resemblance.prototypes.similarity import pairwise_squared


def kl_divergence(mu: Tensor, logvar: Tensor, centres: Tensor) -> Tensor:
    """Compute D_KL(N(μ, σ) ‖ N(φ, I)) of images (B, D) and prototypes (P, D), summed over dimensions: (B, P).

    It is ½ Σ_d (σ² − 1 − ln σ²) + ½ ‖μ − φ‖²: only the distance depends on the prototype.

    Example:
        >>> mu, logvar = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.25]]).log()
        >>> kl_divergence(mu, logvar, torch.zeros(1, 2))
        tensor([[0.8181]])
    """
    spread = (logvar.exp() - 1 - logvar).sum(dim=1, keepdim=True)
    return (spread + pairwise_squared(mu, centres)) / 2


def mixture(divergences: Tensor, similarities: Tensor, own: Tensor) -> Tensor:
    """Compute the mean over the images of Σ_j s̃_j D_j, where s̃ are similarities divided by their sum (suppl. eq. 7).

    Args:
        divergences: (B, P).
        similarities: (B, P), positive.
        own: (B, P) bool, the prototypes that count for an image, those of its class.

    Example:
        >>> one = torch.ones(1, 2, dtype=torch.bool)
        >>> mixture(torch.tensor([[0.5, 0.9]]), torch.tensor([[3.0, 1.0]]), one)
        tensor(0.6000)
    """
    shares = similarities * own
    total = shares.sum(dim=1).clamp_min(torch.finfo(shares.dtype).tiny)  # a class may have no prototypes
    return ((shares * divergences).sum(dim=1) / total).mean()


def gram_errors(vectors: Tensor, owners: Tensor) -> Tensor:
    """Compute ‖Φ̄_kᵀ Φ̄_k − I‖_F² of each class, (C,), from prototypes (P, D) with one class each (suppl. eq. 6).

    M vectors minus their mean span at most M − 1 dimensions, so that no class has less than 1.

    Example:
        >>> gram_errors(torch.eye(2), torch.ones(2, 1, dtype=torch.bool))
        tensor([1.])
    """
    sizes, classes = owners.sum(dim=0), owners.int().argmax(dim=1)
    places = owners.cumsum(dim=0).gather(1, classes[:, None]).flatten() - 1  # within the class
    most = int(sizes.max())
    table = vectors.new_zeros(owners.shape[1], most, vectors.shape[1])
    present = torch.arange(most, device=owners.device) < sizes[:, None]  # (C, M)
    table = table.index_put((classes, places), vectors)
    centred = (table - table.sum(dim=1, keepdim=True) / sizes.clamp_min(1)[:, None, None]) * present[
        :, :, None
    ]
    identity = torch.diag_embed(present.to(vectors.dtype))
    return (centred @ centred.transpose(1, 2) - identity).square().sum(dim=(1, 2))
