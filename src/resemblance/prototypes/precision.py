"""Precision: arithmetic that must not be rounded to 16 bits, and operations that other software records."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor


def full_precision(tensor: Tensor) -> AbstractContextManager[None]:
    """Return a context without autocast on the tensor's device, in which prototype layers and heads run in float32.

    Example:
        >>> a = torch.ones(2, 2)
        >>> with torch.autocast("cpu", dtype=torch.bfloat16), full_precision(a):
        ...     (a @ a).dtype
        torch.float32
    """
    if tensor.is_meta:  # the shapes of a model are computed; nothing is rounded, and there is no autocast
        return nullcontext()
    return torch.autocast(tensor.device.type, enabled=False)


def widened(tensor: Tensor) -> Tensor:
    """Return the tensor at least in float32; float64 stays, for models in double precision.

    Example:
        >>> widened(torch.ones(1, dtype=torch.bfloat16)).dtype, widened(torch.ones(1, dtype=torch.float64)).dtype
        (torch.float32, torch.float64)
    """
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def widest(device: torch.device) -> torch.dtype:
    """Return the widest floating point type that the device has: float64, or float32 on Apple's GPUs.

    Example:
        >>> widest(torch.device("cpu"))
        torch.float64
    """
    return torch.float32 if device.type == "mps" else torch.float64


def is_recorded() -> bool:
    """Check whether `torch.jit.trace`, `torch.export` or `torch.compile` records the operations.

    A record cannot hold loops whose length depends on the images, nor functions with a gradient of their own.

    Example:
        >>> is_recorded()
        False
    """
    return is_traced() or torch.compiler.is_compiling()


def is_traced() -> bool:
    """Check whether `torch.jit.trace` records the operations.

    Example:
        >>> is_traced()
        False
    """
    jit: Any = torch.jit
    return bool(jit.is_tracing())
