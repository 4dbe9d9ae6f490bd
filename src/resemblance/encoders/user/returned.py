"""The tensors that a network returns, in whatever structure, and how they follow from its last linear layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

LOGITS = ("logits", "out", "output", "prediction", "predictions", "scores")  # keys that are looked at first
DEEPEST = 4
TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Relation:
    """A returned tensor is ``scale`` times the linear layer's output plus ``shift``, or a softmax or sigmoid of that.

    Args:
        scale: a positive number, such as 1 over a temperature.
        shift: one number per output, (K,).
        second: for one output that is returned as two columns, whether it is the second of them.
    """

    scale: float
    shift: Tensor
    second: bool = True

    @property
    def plain(self) -> bool:
        """Whether the layer's output itself, or a softmax or sigmoid of it, is returned."""
        return self.scale == 1 and not bool(self.shift.any())


def returned_tensors(result: Any) -> list[tuple[str, Tensor]]:
    """Return all tensors of numbers in what a network returns, with their places; usual names of logits come first.

    Example:
        >>> [name for name, _ in returned_tensors((torch.ones(2, 8), {"logits": torch.ones(2, 3)}))]
        ["[1]['logits']", '[0]']
    """
    tensors = [(place, tensor) for place, tensor in _walk(result, "", 0) if tensor.is_floating_point()]
    return sorted(tensors, key=lambda one: not any(f"'{key}'" in one[0] for key in LOGITS))


def described(result: Any) -> str:
    """Describe briefly what a network returns.

    Example:
        >>> described((torch.ones(2, 8), None)), described("cat")
        ('a tuple of a tensor of shape (2, 8) and None', 'str')
    """
    if isinstance(result, Tensor):
        return f"a tensor of shape {tuple(result.shape)}"
    if isinstance(result, Mapping):
        listed = [f"{str(key)[:40]!r}: {described(value)}" for key, value in list(result.items())[:5]]
    elif isinstance(result, tuple | list):
        listed = [described(item) for item in result[:5]]
    else:
        return "None" if result is None else type(result).__name__
    last = f" and {listed[-1]}" if len(listed) > 1 else "".join(listed)
    return f"a {type(result).__name__} of {', '.join(listed[:-1])}{last}" if listed else "nothing"


def relation(linear: Tensor, returned: Tensor) -> Relation | None:
    """Return how a returned tensor follows from the output of a linear layer (B, K), if the order of classes is kept.

    Allowed are a positive scale and a constant shift, a softmax, log-softmax or sigmoid of that, and for one output its
    probability beside one minus it. None of these changes which class is predicted.

    Returns:
        None if it does not follow in these ways.

    Example:
        >>> logits = torch.randn(4, 3)
        >>> round(relation(logits, (logits / 2).softmax(1)).scale, 3), relation(logits, -logits)
        (0.5, None)
    """
    if returned.ndim == 0 or len(returned) != len(linear) or returned.numel() < linear.numel():
        return None
    z, r = linear.double(), returned.double().reshape(len(returned), -1)
    if z.shape[1] == 1 and r.shape[1] == 2:
        return _two_columns(z, r)
    if z.shape != r.shape:
        return None
    many = z.shape[1] > 1
    usual = [
        z,
        z.sigmoid(),
        *([z.softmax(1), z.log_softmax(1)] if many else [torch.nn.functional.logsigmoid(z)]),
    ]
    if any(torch.allclose(one, r, rtol=1e-4, atol=1e-5) for one in usual):
        return Relation(1.0, torch.zeros(z.shape[1], dtype=z.dtype))
    for form, of_rows in _forms(r):
        if bool(form.isfinite().all()):
            found = _affine(z, form, of_rows)
            if found is not None:
                return found
    return None


def _two_columns(z: Tensor, r: Tensor) -> Relation | None:
    for column in (1, 0):
        other = r[:, 1 - column]
        if torch.allclose(other, 1 - r[:, column], atol=1e-5) or not bool(other.any()):
            found = relation(z, r[:, column])
            if found is not None:
                return Relation(found.scale, found.shift, second=column == 1)
    return None


def _forms(r: Tensor) -> Iterator[tuple[Tensor, bool]]:
    """Yield what may be the linear output itself, and whether only differences within a row of it are known."""
    yield r, False
    ones = torch.ones(len(r), dtype=r.dtype)
    if r.shape[1] > 1 and torch.allclose(r.exp().sum(1), ones, atol=1e-4):
        yield r, True
    if bool((r >= 0).all()) and bool((r <= 1).all()):
        if r.shape[1] > 1 and torch.allclose(r.sum(1), ones, atol=1e-4):
            yield r.log(), True
        else:
            yield r.logit(), False
    if r.shape[1] == 1 and bool((r < 0).all()):  # logsigmoid
        yield r - torch.log1p(-r.exp()), False


def _affine(z: Tensor, form: Tensor, of_rows: bool) -> Relation | None:
    if of_rows:
        z, form = z - z.mean(1, keepdim=True), form - form.mean(1, keepdim=True)
    limit = TOLERANCE * float(form.abs().max()) + 1e-6
    none = torch.zeros(z.shape[1], dtype=z.dtype)
    if float((z - form).abs().max()) <= limit:
        return Relation(1.0, none)
    for centred in (False, True):
        a, b = (z - z.mean(0), form - form.mean(0)) if centred else (z, form)
        size = float((a * a).sum())
        if size < 1e-12:
            continue
        scale = float((a * b).sum()) / size
        spread = TOLERANCE * float(b.abs().max()) + 1e-7
        if scale > 1e-8 and float((b - scale * a).abs().max()) <= spread:
            return Relation(scale, (form - scale * z).mean(0) if centred else none)
    return None


def _walk(result: Any, place: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    if isinstance(result, Tensor):
        yield place, result
    elif depth >= DEEPEST:
        return
    elif isinstance(result, Mapping):
        for key, value in result.items():
            yield from _walk(value, f"{place}[{str(key)!r}]", depth + 1)
    elif isinstance(result, tuple | list):
        names = getattr(result, "_fields", range(len(result)))
        for key, value in zip(names, result, strict=True):
            yield from _walk(value, f"{place}[{key!r}]", depth + 1)
    elif is_dataclass(result):
        for item in fields(result):
            yield from _walk(getattr(result, item.name), f"{place}[{item.name!r}]", depth + 1)
    elif hasattr(result, "logits"):
        yield from _walk(result.logits, f"{place}['logits']", depth + 1)
