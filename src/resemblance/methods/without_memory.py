"""Build a model on the meta device: its tensors have shapes, but no values and no memory."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from resemblance.core.classifier import Classifier

# For these, torch would import its compiler on the meta device, which takes longer than all else in opening a model.
# The first two kinds give back a tensor of the shape that they are given; the last has a twin without this cost.
DRAWS = {
    getattr(Tensor, f"{name}_")
    for name in [
        "bernoulli",
        "cauchy",
        "exponential",
        "geometric",
        "log_normal",
        "normal",
        "random",
        "uniform",
    ]
}
NORMS = {functional.batch_norm, functional.group_norm, functional.instance_norm, functional.layer_norm}
MEANS: dict[Any, Callable[..., Tensor]] = {Tensor.mean: Tensor.sum, torch.mean: torch.sum}


class _Uses(torch.autograd.Function):
    """Gives back a tensor like the first; in the graph, it depends on all."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, *parts: Tensor) -> Tensor:
        ctx.save_for_backward(*parts)
        return torch.empty_like(tensor)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        return grad, *(torch.empty_like(part) for part in ctx.saved_tensors)


class _ShapesOnly(TorchFunctionMode):
    """Leaves out, for tensors without values, what would only change values.

    Example:
        >>> norm = nn.BatchNorm2d(2, device="meta")
        >>> with _ShapesOnly():
        ...     output = norm(torch.empty(3, 2, 4, 4, device="meta"))
        >>> output.shape, output.requires_grad
        (torch.Size([3, 2, 4, 4]), True)
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        tensor = args[0] if args else kwargs.get("input")
        if isinstance(tensor, Tensor) and tensor.is_meta:
            if func in DRAWS:
                return tensor
            if func in NORMS:  # weights stay in the graph, where encoders look for what they use
                parts = [part for part in (*args[1:], *kwargs.values()) if isinstance(part, nn.Parameter)]
                return _Uses.apply(tensor, *parts)
            func = MEANS.get(func, func)
        return func(*args, **kwargs)


def built_without_memory(
    rebuilt: Callable[[nn.Module | None], Classifier], module: nn.Module | None
) -> Classifier | None:
    """Build the model on the meta device, whose tensors have shapes but no values: they show how much it would take.

    A network or a method of the user's own may need values to be built; the result is then None, and the shapes are
    compared afterwards only.
    """
    try:
        # torch warns of empty tensors
        with torch.device("meta"), _ShapesOnly(), warnings.catch_warnings(action="ignore"):
            return rebuilt(None if module is None else copy.deepcopy(module).to("meta"))
    except Exception as error:
        cause = error.__cause__ or error
        needs_values = isinstance(cause, RuntimeError) and "meta" in str(cause).lower()  # in torch's words
        if module is not None or needs_values:
            return None
        raise
