"""Angles between unit vectors, as losses take them: a margin, and how orthogonal the parts of a class are."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def with_margin(similarities: Tensor, margin: float) -> Tensor:
    """cos(max(θ − φ, 0)) of similarities cos θ, without the arc cosine, whose slope at 1 has no bound.

    Example:
        >>> with_margin(torch.tensor([0.8, 1.0]), 0.1)
        tensor([0.8559, 1.0000])
    """
    cosine, sine = math.cos(margin), math.sin(margin)
    inner = similarities.clamp(-1, cosine)
    nearer = inner * cosine + (1 - inner.square()).clamp_min(1e-12).sqrt() * sine
    return torch.where(similarities < cosine, nearer, 1)


def class_bases(parts: Tensor, owners: Tensor) -> Tensor:
    """The parts of each class as rows, P^(c): (C, K·ρ, D), with zeros where a class has fewer than K prototypes.

    Args:
        parts: (P, ρ, D).
        owners: (P, C) bool, one class a prototype.
    """
    classes = owners.int().argmax(dim=1)
    order = classes.argsort(stable=True)
    counts = classes.bincount(minlength=owners.shape[1])
    position = torch.arange(len(parts), device=parts.device) - (counts.cumsum(0) - counts)[classes[order]]
    bases = parts.new_zeros(owners.shape[1], int(counts.max()), *parts.shape[1:])
    bases[classes[order], position] = parts[order]
    return bases.flatten(1, 2)


def orthogonality(bases: Tensor, length: float) -> Tensor:
    """Σ_c ‖P^(c) P^(c)ᵀ − r² I‖² (Frobenius); rows of zeros count for nothing.

    Example:
        >>> equal = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        >>> orthogonality(torch.stack([equal, torch.eye(2)]), 1.0)
        tensor(2.)
    """
    products = bases @ bases.mT
    present = bases.detach().abs().amax(dim=2) > 0
    return (products - length**2 * torch.diag_embed(present.to(products.dtype))).square().sum()


def released_orthogonality(parts: Tensor, per_class: int) -> Tensor:
    """The authors' ‖G − I‖, a norm and no square, of unit parts (P, ρ, D) in groups that are no classes.

    Their reshape takes prototypes, which are ordered by class, for ordered by number within the class: it makes
    ``per_class`` groups, each of many neighbouring classes.
    """
    groups = per_class if len(parts) % per_class == 0 else 1
    bases = parts.reshape(groups, -1, parts.shape[2])
    products = bases @ bases.mT
    identity = torch.eye(bases.shape[1], dtype=products.dtype, device=products.device)
    norm: Tensor = torch.linalg.vector_norm(products - identity)
    return norm
