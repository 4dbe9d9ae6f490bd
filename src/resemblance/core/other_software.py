"""Let a model be used by software that knows only tensors: 16-bit weights, `torch.jit.trace`, `torch.export`."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Self

import torch
from torch import Tensor, nn

from resemblance.core.output import Output
from resemblance.encoders.base import SIXTEEN_BITS
from resemblance.prototypes.precision import is_traced

torch.export.register_dataclass(Output, serialized_type_name="resemblance.Output")
_TRACED: ContextVar[bool] = ContextVar("traced", default=False)


class UsableElsewhere(nn.Module):
    """Converts a model's weights with care, and makes its output readable for `torch.jit.trace`.

    ``model.half()`` and ``model.bfloat16()`` convert the encoder, which holds nearly all weights; prototypes and head
    stay in float32, as under autocast, so that explanations still add up. A traced model returns the scores and the
    similarities as a tuple, because a trace can return tensors only; a model exported by `torch.export` returns an
    `Output`.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        module: Any = super()
        module._apply(fn if isinstance(fn, _AtLeastFloat32) else _AtLeastFloat32(fn), recurse)
        return self

    def fix_choices(self) -> None:
        """Keep, as attributes, choices that depend on the values of tensors; a record cannot read these.

        It is called on a copy that is recorded and not trained any more. By default there are no such choices.
        """

    def __call__(self, images: Tensor) -> Any:
        """Compute the output; while `torch.jit.trace` records the outermost model, scores and similarities alone."""
        if images.dtype in SIXTEEN_BITS:
            images = images.float()
        if not is_traced() or _TRACED.get():
            return super().__call__(images)
        token = _TRACED.set(True)
        try:
            output = super().__call__(images)
        finally:
            _TRACED.reset(token)
        return (output.scores, output.similarities) if isinstance(output, Output) else output


class _AtLeastFloat32:
    """A conversion of tensors that leaves them in float32 where it would make them shorter.

    Args:
        network: the conversion as it was asked for, which encoders apply to their networks.
    """

    def __init__(self, network: Callable[[Tensor], Tensor]) -> None:
        self.network = network

    def __call__(self, tensor: Tensor) -> Tensor:
        converted = self.network(tensor)
        if converted.dtype not in SIXTEEN_BITS:
            return converted
        return tensor.to(converted.device, torch.float32)
