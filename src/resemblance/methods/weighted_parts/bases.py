"""The vectors of each class as the rows of a matrix, their inner products, and how far they are from orthogonal."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def class_bases(parts: Tensor, owners: Tensor) -> tuple[Tensor, Tensor]:
    """Return the parts of each class as rows, P^(c), with zeros if a class has fewer than K prototypes.

    Args:
        parts: (P, ρ, D).
        owners: (P, C) bool, one class per prototype.

    Returns:
        P^(c) (C, K·ρ, D), and which rows are parts, (C, K·ρ) bool.
    """
    classes = owners.to(torch.uint8).argmax(dim=1)
    counts = classes.bincount(minlength=owners.shape[1])
    most = int(counts.max())
    numbers = torch.arange(most, device=parts.device)
    present = (numbers < counts[:, None]).repeat_interleave(parts.shape[1], dim=1)
    if bool((counts == most).all() & (classes.diff() >= 0).all()):
        return parts.reshape(*present.shape, parts.shape[2]), present
    order = classes.argsort(stable=True)
    position = torch.arange(len(parts), device=parts.device) - (counts.cumsum(0) - counts)[classes[order]]
    bases = parts.new_zeros(owners.shape[1], most, *parts.shape[1:])
    bases[classes[order], position] = parts[order]
    return bases.flatten(1, 2), present


def inner_products(bases: Tensor) -> Tensor:
    """Compute the inner products of the rows of each matrix: (C, K, D) → (C, K, K).

    Example:
        >>> inner_products(torch.tensor([[[3.0, 4.0], [1.0, 0.0]]]))
        tensor([[[25.,  3.],
                 [ 3.,  1.]]])
    """
    products: Tensor = _InnerProducts.apply(bases)
    return products


class _InnerProducts(torch.autograd.Function):
    """One product in the backward pass instead of one for each side."""

    @staticmethod
    def forward(ctx: Any, bases: Tensor) -> Tensor:
        ctx.save_for_backward(bases)
        return bases @ bases.mT

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (bases,) = ctx.saved_tensors
        change: Tensor = (gradient + gradient.mT) @ bases
        return change


def orthogonality(products: Tensor, present: Tensor, length: float, *, entrywise: bool = False) -> Tensor:
    """Compute Σ_c ‖P^(c) P^(c)ᵀ − r² I‖² (Frobenius norm) over the rows that are present.

    Args:
        products: (C, K, K), the inner products P^(c) P^(c)ᵀ.
        present: (C, K) bool.
        length: r.
        entrywise: whether to sum absolute values instead of squares.

    Example:
        >>> products = torch.tensor([[[1.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]])
        >>> orthogonality(products, torch.ones(2, 2, dtype=torch.bool), 1.0)
        tensor(2.)
    """
    identity = torch.eye(products.shape[1], dtype=products.dtype, device=products.device)
    absent = ~(present[:, :, None] & present[:, None])
    deviations = (products - length**2 * identity).masked_fill(absent, 0)
    return (deviations.abs() if entrywise else deviations.square()).sum()
