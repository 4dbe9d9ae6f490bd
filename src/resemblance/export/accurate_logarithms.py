"""Logarithm and exponential near 0 for ONNX, which has no log1p and expm1 and would lose their digits.

The similarity log((d² + 1) / (d² + ε)) of a large distance d is the logarithm of a number just above 1: computed as
``Log(1 + x)``, all similarities to far prototypes would become equal in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from resemblance.export.packages import import_packages


def accurate_operations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Return how operations of PyTorch are written in ONNX, for those that lose digits otherwise.

    Both are correct to a few units of the last digit: 1 + x is rounded to u, and the exact logarithm of u is corrected
    by x / (u − 1) (Kahan; Goldberg 1991, theorem 4).
    """
    op: Any = import_packages().onnxscript.opset18

    def number(value: float, x: Any) -> Any:
        return op.CastLike(op.Constant(value_float=value), x)

    def log1p(x: Any) -> Any:
        one = number(1, x)
        u = op.Add(x, one)
        same = op.Equal(u, one)
        difference = op.Where(same, one, op.Sub(u, one))
        return op.Where(same, x, op.Mul(x, op.Div(op.Log(u), difference)))

    def expm1(x: Any) -> Any:
        one = number(1, x)
        u = op.Exp(x)
        same, difference = op.Equal(u, one), op.Sub(u, one)
        far = op.Or(op.Less(u, number(0.5, x)), op.Greater(u, number(2, x)))  # where no digits are lost
        logarithm = op.Where(op.Or(same, far), one, op.Log(u))
        near = op.Mul(difference, op.Div(x, logarithm))
        return op.Where(same, x, op.Where(far, difference, near))

    return {torch.ops.aten.log1p.default: log1p, torch.ops.aten.expm1.default: expm1}
