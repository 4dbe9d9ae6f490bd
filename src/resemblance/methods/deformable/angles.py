"""Angles between unit vectors in the losses: the margin, and the orthogonality of the parts of a class."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def with_margin(similarities: Tensor, margin: float) -> Tensor:
    """Compute cos(max(θ − φ, 0)) from similarities cos θ, without the arc cosine, whose slope is unbounded at 1.

    Example:
        >>> with_margin(torch.tensor([0.8, 1.0]), 0.1)
        tensor([0.8559, 1.0000])
    """
    cosine, sine = math.cos(margin), math.sin(margin)
    inner = similarities.clamp(-1, cosine)
    nearer = inner * cosine + (1 - inner.square()).clamp_min(1e-12).sqrt() * sine
    return torch.where(similarities < cosine, nearer, 1)


def class_bases(parts: Tensor, owners: Tensor) -> Tensor:
    """Return the parts of each class as rows, P^(c): (C, K·ρ, D), with zeros if a class has fewer than K prototypes.

    Args:
        parts: (P, ρ, D).
        owners: (P, C) bool, one class per prototype.
    """
    classes = owners.int().argmax(dim=1)
    order = classes.argsort(stable=True)
    counts = classes.bincount(minlength=owners.shape[1])
    position = torch.arange(len(parts), device=parts.device) - (counts.cumsum(0) - counts)[classes[order]]
    bases = parts.new_zeros(owners.shape[1], int(counts.max()), *parts.shape[1:])
    bases[classes[order], position] = parts[order]
    return bases.flatten(1, 2)


def orthogonality(bases: Tensor, length: float) -> Tensor:
    """Compute Σ_c ‖P^(c) P^(c)ᵀ − r² I‖² (Frobenius norm); rows of zeros add nothing.

    Example:
        >>> equal = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        >>> orthogonality(torch.stack([equal, torch.eye(2)]), 1.0)
        tensor(2.)
    """
    products = bases @ bases.mT
    present = bases.detach().abs().amax(dim=2) > 0
    return (products - length**2 * torch.diag_embed(present.to(products.dtype))).square().sum()


def released_orthogonality(parts: Tensor, per_class: int) -> Tensor:
    """Compute the authors' ‖G − I‖ of unit parts (P, ρ, D): a norm, not its square, over groups that are not classes.

    The prototypes are ordered by class, but their reshape assumes that they are ordered by number within the class: it
    makes ``per_class`` groups, each with the parts of many neighbouring classes.
    """
    groups = per_class if len(parts) % per_class == 0 else 1
    bases = parts.reshape(groups, -1, parts.shape[2])
    products = bases @ bases.mT
    identity = torch.eye(bases.shape[1], dtype=products.dtype, device=products.device)
    norm: Tensor = torch.linalg.vector_norm(products - identity)
    return norm
