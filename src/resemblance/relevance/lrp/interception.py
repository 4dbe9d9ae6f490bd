"""Watch a network compute, and replace the backward pass of each operation by a rule of relevance.

A hook sees modules only; sums, products, padding and functional calls happen outside of them. A `TorchFunctionMode`
sees every call of a torch function, whether a module or plain code made it, and leaves the network as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from resemblance.config.definition import Definition
from resemblance.relevance.lrp.operations import RULES
from resemblance.relevance.lrp.tracking import Call, NoRuleError, Tracker, tensors


class Rules(TorchFunctionMode):
    """Within this context, gradients are relevances.

    Args:
        images: (B, C, H, W) in [0, 1], with gradients: their relevance is wanted.
        definition: ``released`` has the same bounds for all channels at the first layer, as the authors' code.
        biases: whether the network has its biases, which absorb relevance; without them, relevance is conserved.

    Raises:
        NoRuleError: by the call of the network, where it does something that has no rule.

    Example:
        >>> layer, images = torch.nn.Linear(2, 2, bias=False), torch.tensor([[0.5, 1.0]], requires_grad=True)
        >>> layer.weight = torch.nn.Parameter(torch.tensor([[1.0, -1.0], [2.0, 1.0]]), requires_grad=False)
        >>> with Rules(images):
        ...     outputs = layer(images)
        >>> torch.autograd.grad(outputs, images, torch.ones(1, 2))[0]  # the box rule, with bounds 0 and 1
        tensor([[1.5000, 0.5000]])
    """

    def __init__(self, images: Tensor, definition: Definition = "default", biases: bool = True) -> None:
        super().__init__()
        self._tracker = Tracker(images, definition, biases)

    def __torch_function__(
        self,
        func: Call,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Compute the function, with the backward pass of its rule."""
        kwargs = dict(kwargs or {})
        tracked = [t for t in tensors((args, kwargs)) if t.requires_grad]
        if not tracked or not torch.is_grad_enabled():
            return func(*args, **kwargs)
        name = _name(func)
        rule = RULES.get(name)
        if rule is not None:
            return rule(self._tracker, func, list(args), kwargs, tracked)
        result = func(*args, **kwargs)
        if any(t.requires_grad for t in tensors(result)):
            raise NoRuleError(f"relevance has no rule for {name}")
        return result


def _name(function: Call) -> str:
    """Return a function's name without its variants: ``add`` for ``__iadd__``, ``relu`` for ``relu_``."""
    name = getattr(function, "__name__", str(function)).strip("_")
    plain = name[1:] if name[:1] in ("i", "r") and name[1:] in ("add", "sub", "mul", "truediv") else name
    return "rsub" if name == "rsub" else plain
