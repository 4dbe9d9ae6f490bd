"""Batch-level loss terms under several processes.

A term that looks across the images of a batch, such as the smallest distance of a prototype to any of them,
needs the images of all processes. Gather what it reads, compute it everywhere, and the average that DDP takes
of the gradients is the gradient of one process that saw the whole batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_ALONE: ContextVar[bool] = ContextVar("alone", default=False)


@contextmanager
def alone() -> Iterator[None]:
    """Within it `gather` is the identity: for evaluation, where the processes have unequal batches."""
    token = _ALONE.set(True)
    try:
        yield
    finally:
        _ALONE.reset(token)


def world() -> int:
    """How many processes train together; 1 without process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        # Every process' loss reads this process' rows. DDP divides by the number of processes afterwards.
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]


def gather(tensor: Tensor) -> Tensor:
    """The rows of all processes, in order of rank; differentiable, and the identity for one process.

    Args:
        tensor: (B, ...), of the same shape in every process.

    Returns:
        (B × processes, ...). After DDP has averaged them, the gradients of a loss on it are exact.

    Example:
        >>> gather(torch.ones(2, 3)).shape
        torch.Size([2, 3])
    """
    if _ALONE.get() or world() == 1:
        return tensor
    result: Tensor = _Gather.apply(tensor)
    return result
