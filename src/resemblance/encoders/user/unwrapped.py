"""Take a network out of what wraps it, and bring it to ordinary numbers."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from resemblance.config.errors import UserError
from resemblance.encoders.base import first_line

# Wrappers that call a network without changing what it computes, by class and the attribute that holds it.
WRAPPERS = {
    "OptimizedModule": "_orig_mod",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "FullyShardedDataParallel": "module",
    "AveragedModel": "module",
    "ModelEma": "ema",
    "ModelEmaV2": "module",
    "ModelEmaV3": "module",
    "ExponentialMovingAverage": "module",
}
PROGRAM = "network of TorchScript (torch.jit.trace or script), whose layers cannot be read one by one"
SHORT = {torch.float16: "float16", torch.bfloat16: "bfloat16", torch.float64: "float64"}


def unwrapped(module: nn.Module, name: str) -> tuple[nn.Module, list[str]]:
    """Return a copy of a network without wrappers, in float32, and notes for the user.

    Compiled networks, DataParallel and averages of weights are taken out of their wrappers, also inside a network.

    Args:
        module: the user's network, which stays unchanged.
        name: its name for messages.

    Raises:
        UserError: if it is a program instead of a network of layers, is quantized, or cannot be copied.

    Example:
        >>> network, notes = unwrapped(nn.DataParallel(nn.Linear(2, 3).half()), "net")
        >>> network.weight.dtype, notes
        (torch.float32, ['taken out of DataParallel', 'brought from float16 to float32'])
    """
    for part in module.modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise UserError(f"{name} is a {PROGRAM}; hand over the network from which it was made")
        if ".quantized" in type(part).__module__:
            raise UserError(
                f"{name} is quantized ({type(part).__name__}); hand over the network from which it was made"
            )
    notes = []
    module, wrapper = _outer(module)
    if wrapper:
        notes.append(f"taken out of {' and '.join(wrapper)}")
    if isinstance(module, torch.jit.ScriptModule):
        raise UserError(f"{name} is a {PROGRAM}; hand over the network from which it was made")
    try:
        module = copy.deepcopy(module)
    except Exception as error:  # of any code of the user's
        raise UserError(
            f"{name} cannot be copied ({type(error).__name__}: {first_line(error)}); hand over a network that "
            "copy.deepcopy can copy, for instance without torch.nn.utils.weight_norm"
        ) from error
    for parent in list(module.modules()):
        for key, child in list(parent.named_children()):
            inner, names = _outer(child)
            if names:
                setattr(parent, key, inner)
    kinds = {tensor.dtype for tensor in _tensors(module) if tensor.is_floating_point()} - {torch.float32}
    if kinds:
        listed = " and ".join(sorted(SHORT.get(kind, str(kind).removeprefix("torch.")) for kind in kinds))
        notes.append(f"brought from {listed} to float32")
        module.float()
    return module, notes


def _outer(module: nn.Module) -> tuple[nn.Module, list[str]]:
    """Return what the outermost wrappers hold, and the wrappers' names."""
    names = []
    while type(module).__name__ in WRAPPERS:
        inner: Any = getattr(module, WRAPPERS[type(module).__name__], None)
        if not isinstance(inner, nn.Module):
            break
        names.append({"OptimizedModule": "torch.compile"}.get(type(module).__name__, type(module).__name__))
        module = inner
    return module, names


def _tensors(module: nn.Module) -> Iterator[torch.Tensor]:
    yield from module.parameters()
    yield from module.buffers()
