"""The weights of the last layer to classes that do not own a prototype: with many classes, nearly all of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def foreign_l1(weight: Tensor, own: Tensor) -> Tensor:
    """Compute the L1 norm of the weights that are not marked as the classes' own.

    Args:
        weight: (C, P).
        own: (C, P) bool.

    Example:
        >>> foreign_l1(torch.tensor([[1.0, -0.5], [0.25, 2.0]]), torch.eye(2, dtype=torch.bool))
        tensor(0.7500)
    """
    norm: Tensor = _ForeignL1.apply(weight, own)
    return norm


class _ForeignL1(torch.autograd.Function):
    """The norm without the intermediate results of its operations: each is as large as the last layer."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, own: Tensor) -> Tensor:
        ctx.save_for_backward(weight, own)
        return weight.abs().masked_fill_(own, 0).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        weight, own = ctx.saved_tensors
        return weight.sgn().masked_fill_(own, 0).mul_(gradient), None
