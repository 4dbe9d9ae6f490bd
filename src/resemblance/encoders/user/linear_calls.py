"""Record where a network computes something linear, by a layer or by a function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

MATRIX_PRODUCTS = (torch.mm, torch.matmul, Tensor.mm, Tensor.matmul, Tensor.__matmul__)


@dataclass(frozen=True, eq=False)
class LinearCall:
    """One linear computation on whole images: its input (B, E), weight (K, E), bias (K,) or None, and output (B, K).

    A 1×1 convolution counts with the means over its cells.

    Args:
        number: its place among all of them in one pass.
        before: the number of calls of layers before it.
        input: averaged over cells, if there are any.
        weight: as computed, for instance normalised.
        bias: None without one.
        output: averaged over cells.
        parameter: the weight as the function received it.
    """

    number: int
    before: int
    input: Tensor
    weight: Tensor
    bias: Tensor | None
    output: Tensor
    parameter: Tensor


class ReachedHead(BaseException):
    """Raised to end a pass at the classifier, whose input is known then."""


class LinearCalls(TorchFunctionMode):
    """Observe all linear computations inside the block.

    Args:
        capture: the number of the computation whose input is kept in ``embedding``; None records all of them in
            ``calls``.
        layers: how many layers were called so far, as a list that grows.
    """

    def __init__(self, capture: int | None = None, layers: list[Any] | None = None) -> None:
        super().__init__()
        self.calls: list[LinearCall] = []
        self.embedding: Tensor | None = None
        self._capture = capture
        self._layers = layers if layers is not None else []
        self._count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the function; record it if it is linear."""
        kwargs = kwargs or {}
        parts = _parts(func, args, kwargs)
        if parts is None:
            return func(*args, **kwargs)
        number, self._count = self._count, self._count + 1
        output = func(*args, **kwargs)
        if number == self._capture:
            self.embedding = pooled(parts[0])
        if self._capture is None:
            inputs, weight, bias, parameter = parts
            self.calls.append(
                LinearCall(number, len(self._layers), pooled(inputs), weight, bias, pooled(output), parameter)
            )
        return output


def _parts(func: Any, args: Any, kwargs: Any) -> tuple[Tensor, Tensor, Tensor | None, Tensor] | None:
    """Return input, weight (K, E), bias and the weight as it was given, if a function is linear on whole images."""
    if func is F.linear:
        inputs, weight, bias = _named(args, kwargs, "input", "weight", "bias")
        one_each = inputs.ndim == 2 or (inputs.ndim == 3 and inputs.shape[1] == 1)
        return (inputs, weight, bias, weight) if one_each else None
    if func is torch.addmm:
        bias, inputs, matrix = _named(args, kwargs, "input", "mat1", "mat2")
        return (inputs, matrix.t(), bias, matrix) if bias.ndim == 1 else None
    if func in MATRIX_PRODUCTS:
        if len(args) != 2 or kwargs or not all(isinstance(one, Tensor) and one.ndim == 2 for one in args):
            return None
        return args[0], args[1].t(), None, args[1]
    if func is torch.conv2d or func is F.conv2d:
        inputs, weight, bias = _named(args, kwargs, "input", "weight", "bias")
        pointwise = (
            tuple(weight.shape[2:]) == (1, 1) and weight.shape[1] == inputs.shape[1] and inputs.ndim == 4
        )
        return (inputs, weight.flatten(1), bias, weight) if pointwise else None
    return None


def _named(args: Any, kwargs: Any, *names: str) -> tuple[Any, ...]:
    return tuple(args[i] if i < len(args) else kwargs.get(name) for i, name in enumerate(names))


def pooled(tensor: Tensor) -> Tensor:
    """Return one vector per image: the mean over cells, or the only one there is."""
    return tensor.mean((2, 3)) if tensor.ndim == 4 else tensor.flatten(1)


def layer_of(network: nn.Module, call: LinearCall) -> str:
    """Return the path of the layer whose own forward pass made a call; empty for a function with other weights."""
    for path, module in network.named_modules():
        plain = type(module).forward in (nn.Linear.forward, nn.Conv2d.forward)
        if plain and path and getattr(module, "weight", None) is call.parameter and not _parametrized(module):
            return str(path)
    return ""


def _parametrized(module: nn.Module) -> bool:
    return hasattr(module, "parametrizations")
