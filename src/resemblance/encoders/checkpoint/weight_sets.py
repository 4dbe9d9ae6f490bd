"""The sets of weights in one file: trained and averaged ones, or several networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.encoders.checkpoint.inert import Inert

State = dict[str, Tensor]
# Entries of training scripts; averaged weights come first, as in timm.
AVERAGED = (
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema_model",
    "ema",
    "shadow_params",
    "averaged_model",
)
WRAPPERS = (
    *AVERAGED,
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "weights",
    "params",
    "module",
)
DEEPEST = 4


@dataclass(frozen=True)
class WeightSet:
    """Named tensors in a file.

    Args:
        entry: the keys that lead to them, joined by dots; empty for the whole file.
        tensors: by name.
    """

    entry: str
    tensors: State


def weight_sets(content: Any, path: Path) -> list[WeightSet]:
    """Return all sets of named tensors in what a file contains; averaged weights come first.

    An entry with tensors is a set if it is the content itself or one that training scripts use for weights; if there
    is none of these, any entry is.

    Raises:
        UserError: if there is none; the message names the class of an object that was found instead.
    """
    sets = list(_search(content, "", WRAPPERS, 0)) or list(_search(content, "", None, 0))
    if not sets:
        objects = list(_objects(content, "", 0))
        if objects:
            entry, kind = objects[0]
            place = f" in its entry {entry!r}" if entry else ""
            raise UserError(
                f"weights file '{path}' contains pickled Python objects instead of tensors{place}: a {kind}, perhaps a "
                "whole module, which reading would execute; if you trust it, open it with your own code and save only "
                "its tensors: torch.save(model.state_dict(), 'w.pth')"
            )
        raise UserError(f"weights file '{path}' contains no named tensors (a state dict was expected)")
    for weights in sets:
        odd = next((key for key, value in weights.tensors.items() if not _is_dense(value)), None)
        if odd is not None:
            raise UserError(f"weights file '{path}': {odd!r} is not an ordinary dense tensor with values")
    return sets


def _search(content: Any, entry: str, keys: tuple[str, ...] | None, depth: int) -> list[WeightSet]:
    """Return the sets below ``content``; those of an inner entry come instead of tensors beside it."""
    if not isinstance(content, Mapping) or depth > DEEPEST:
        return []
    inner: list[WeightSet] = []
    for key in content if keys is None else keys:
        value = content.get(key)
        if isinstance(value, Mapping) and value:
            inner += _search(value, f"{entry}.{key}" if entry else str(key), keys, depth + 1)
    if inner:
        return inner
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    return [WeightSet(entry, tensors)] if tensors else []


def _objects(content: Any, entry: str, depth: int) -> list[tuple[str, str]]:
    """Return the entries that hold an object of a foreign class, with its name; those for weights come first."""
    if isinstance(content, Inert):
        return [(entry, f"{type(content).__module__}.{type(content).__qualname__}")]
    if not isinstance(content, Mapping) or depth > DEEPEST:
        return []
    keys = sorted(content, key=lambda key: (key not in WRAPPERS, str(key)))
    return [
        found
        for key in keys
        for found in _objects(content[key], f"{entry}.{key}" if entry else str(key), depth + 1)
    ]


def _is_dense(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and not (
        tensor.is_meta or tensor.is_quantized or tensor.is_complex()
    )
