"""The vectors of each class as the rows of a matrix, and how far they are from orthogonal."""

from __future__ import annotations

import torch
from torch import Tensor


def class_bases(parts: Tensor, owners: Tensor) -> Tensor:
    """Return the parts of each class as rows, P^(c): (C, K·ρ, D), with zeros if a class has fewer than K prototypes.

    Args:
        parts: (P, ρ, D).
        owners: (P, C) bool, one class per prototype.
    """
    classes = owners.to(torch.uint8).argmax(dim=1)
    order = classes.argsort(stable=True)
    counts = classes.bincount(minlength=owners.shape[1])
    position = torch.arange(len(parts), device=parts.device) - (counts.cumsum(0) - counts)[classes[order]]
    bases = parts.new_zeros(owners.shape[1], int(counts.max()), *parts.shape[1:])
    bases[classes[order], position] = parts[order]
    return bases.flatten(1, 2)


def orthogonality(bases: Tensor, length: float, *, entrywise: bool = False) -> Tensor:
    """Compute Σ_c ‖P^(c) P^(c)ᵀ − r² I‖² (Frobenius norm); rows of zeros add nothing.

    Args:
        bases: (C, K, D).
        length: r.
        entrywise: whether to sum absolute values instead of squares.

    Example:
        >>> equal = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        >>> orthogonality(torch.stack([equal, torch.eye(2)]), 1.0)
        tensor(2.)
    """
    present = bases.detach().abs().amax(dim=2) > 0
    deviations = bases @ bases.mT - length**2 * torch.diag_embed(present.to(bases.dtype))
    return (deviations.abs() if entrywise else deviations.square()).sum()
