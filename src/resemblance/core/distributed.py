"""Batch-level loss terms with several processes.

A term over the images of a batch, for instance the smallest distance of a prototype to any of them, needs the images
of all processes. Gather its inputs and compute it in every process: the average of the gradients, which DDP computes,
is then the gradient of a single process with the whole batch.
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
    """Make `gather` the identity inside the block: for evaluation, where the processes have unequal batches."""
    token = _ALONE.set(True)
    try:
        yield
    finally:
        _ALONE.reset(token)


def world() -> int:
    """Return the number of processes that train together; 1 without a process group."""
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
        # The loss of every process reads the rows of this process. DDP divides by the number of processes afterwards.
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]


def gather(tensor: Tensor) -> Tensor:
    """Return the rows of all processes, in order of rank; differentiable, and the identity for one process.

    Args:
        tensor: (B, ...), of the same shape in every process.

    Returns:
        (B × processes, ...). The gradients of a loss on it are exact after DDP has averaged them.

    Example:
        >>> gather(torch.ones(2, 3)).shape
        torch.Size([2, 3])
    """
    if _ALONE.get() or world() == 1:
        return tensor
    result: Tensor = _Gather.apply(tensor)
    return result


def any_process(flags: list[bool], device: torch.device) -> list[bool]:
    """Return for each flag whether it is set in any process; all processes must call this.

    Example:
        >>> any_process([True, False], torch.device("cpu"))
        [True, False]
    """
    if world() == 1:
        return flags
    counts = torch.tensor(flags, dtype=torch.int32, device=device)
    dist.all_reduce(counts, op=dist.ReduceOp.MAX)
    return [bool(count) for count in counts.tolist()]
