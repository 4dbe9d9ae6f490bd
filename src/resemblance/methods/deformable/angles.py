"""Angles between unit vectors in the losses: the margin, and the authors' orthogonality of parts."""

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
