"""Check that values have exactly their types, as those that only this library writes do; nothing is converted."""

from __future__ import annotations

import types
from dataclasses import fields
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict


def wrong_field(content: Any) -> str | None:
    """Return the name of the first field of a dataclass whose value does not have its declared type.

    Example:
        >>> from resemblance.config.training import TrainConfig
        >>> config = TrainConfig()
        >>> wrong_field(config)
        >>> config.workers = "two"
        >>> wrong_field(config)
        'workers'
    """
    kinds = get_type_hints(type(content))
    names = [item.name for item in fields(content)]
    return next((name for name in names if not has_type(getattr(content, name), kinds[name])), None)


def same_structure(value: Any, like: Any) -> bool:
    """Check whether a value has the type of another, and a mapping also all of its entries with their types.

    Example:
        >>> same_structure({"a": {"b": 2}, "c": 1}, {"a": {"b": 0}}), same_structure({"a": 1}, {"a": {}})
        (True, False)
    """
    if isinstance(like, dict):
        return isinstance(value, dict) and all(
            key in value and same_structure(value[key], like[key]) for key in like
        )
    return type(value) is type(like)


def has_type(value: Any, kind: Any) -> bool:
    """Check whether a value has a type.

    Args:
        value: the value.
        kind: a class, ``X | None``, ``list[X]``, ``tuple[X, ...]``, ``dict[X, Y]``, a TypedDict or Any.

    Example:
        >>> has_type({"loss": 1}, dict[str, float]), has_type([True], list[int]), has_type(None, str | None)
        (True, False, True)
    """
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(has_type(value, member) for member in inner)
    if is_typeddict(kind):
        hints = get_type_hints(kind)
        return isinstance(value, dict) and all(
            name in value and has_type(value[name], hints[name]) for name in hints
        )
    if origin in (list, tuple):
        return isinstance(value, origin) and all(has_type(item, inner[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            has_type(key, inner[0]) and has_type(item, inner[1]) for key, item in value.items()
        )
    if kind in (int, float):  # bool is an int for Python
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return isinstance(value, kind)
