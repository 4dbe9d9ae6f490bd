"""Arithmetic that must not be rounded to 16 bits."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor


def full_precision(tensor: Tensor) -> AbstractContextManager[None]:
    """A context without autocast on the tensor's device: prototype layers and heads run in float32.

    Example:
        >>> a = torch.ones(2, 2)
        >>> with torch.autocast("cpu", dtype=torch.bfloat16), full_precision(a):
        ...     (a @ a).dtype
        torch.float32
    """
    return torch.autocast(tensor.device.type, enabled=False)
