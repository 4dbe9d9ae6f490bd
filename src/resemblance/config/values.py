"""Convert values of the command line and of YAML files to the types of fields, and check them."""

from __future__ import annotations

import operator
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from resemblance.config.errors import UserError

LARGEST = 1 << 63  # PyTorch accepts only smaller seeds, and no option needs a larger number

_LIMITS: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "least": ("at least", operator.ge),
    "above": ("above", operator.gt),
    "most": ("at most", operator.le),
    "below": ("below", operator.lt),
}

_DESCRIPTIONS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    Path: "a path",
    type(None): "null",
    dict: "a mapping",
    list: "a list",
    Any: "any value",
}


def near(name: str, names: Sequence[str]) -> str:
    """Return a text that suggests the names most similar to a misspelt one; empty if none is similar.

    Example:
        >>> near("kmexx", ["kmex", "protopnet"])
        "; did you mean 'kmex'?"
    """
    matches = get_close_matches(name, list(names), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(repr(match) for match in matches)}?" if matches else ""


def convert(value: Any, kind: Any) -> Any:
    """Convert text, or a value read from YAML, to a type.

    Args:
        value: text such as ``"0.5,0.4"``, or a number, list, ... from YAML.
        kind: int, float, str, bool, Path, ``X | None``, ``tuple[X, ...]``, ``list[X]``, ``dict[str, X]`` or Any.

    Raises:
        ValueError: if the value cannot be converted.

    Example:
        >>> convert("0.5,0.4", tuple[float, ...] | None), convert("7", int | None), convert(3, float)
        ((0.5, 0.4), 7, 3.0)
    """
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        for member in inner:
            try:
                return convert(value, member)
            except ValueError:
                continue
    elif origin in (tuple, list):
        if isinstance(value, str):
            value = [part.strip() for part in value.strip("()[] ").split(",") if part.strip()]
        elif isinstance(value, int | float):
            value = [value]
        any_length = origin is list or inner[-1] is Ellipsis
        if isinstance(value, list | tuple) and (any_length or len(value) == len(inner)):
            members = [inner[0]] * len(value) if any_length else inner
            return origin(convert(item, member) for item, member in zip(value, members, strict=True))
    elif kind in (int, float):
        fraction = isinstance(value, float) and value % 1 != 0
        if not isinstance(value, bool) and not (kind is int and fraction):
            try:
                return kind(value)
            except (TypeError, ValueError, OverflowError):
                pass
    elif kind is Path:
        if isinstance(value, str) and value:
            return Path(value).expanduser()
    elif origin is dict:
        if isinstance(value, dict):
            return {convert(key, inner[0]): convert(entry, inner[1]) for key, entry in value.items()}
    elif isinstance(value, origin or kind):
        return value
    hint = " (put it into quotes)" if kind is str and isinstance(value, int | float) else ""
    raise ValueError(f"expected {describe(kind)}, not {_short(value)}{hint}")


def describe(kind: Any) -> str:
    """Describe the values of a type as text.

    Example:
        >>> describe(int | tuple[int, int] | None)
        'a whole number, 2 values separated by commas (each a whole number) or null'
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        descriptions = [describe(member) for member in inner]
        return f"{', '.join(descriptions[:-1])} or {descriptions[-1]}"
    if origin in (tuple, list):
        count = "" if origin is list or inner[-1] is Ellipsis else f"{len(inner)} "
        return f"{count}values separated by commas (each {describe(inner[0])})"
    return _DESCRIPTIONS[origin or kind]


def flag(name: str) -> str:
    """Return the option of a field: ``--image-size`` for ``image_size``."""
    return "--" + name.replace("_", "-")


def check_fields(config: Any) -> None:
    """Refuse values that the metadata of a configuration's fields does not allow, wherever they come from.

    Raises:
        UserError: for the first of these values, naming its option.

    Example:
        >>> from dataclasses import dataclass
        >>> from resemblance.config.options import option
        >>> @dataclass
        ... class Config:
        ...     epochs: int = option(3, "epochs", least=1)
        >>> check_fields(Config(epochs=0))
        Traceback (most recent call last):
        resemblance.config.errors.UserError: --epochs must be at least 1, not 0
    """
    for item in fields(config):
        check_value(getattr(config, item.name), item.metadata, flag(item.name))


def check_value(value: Any, metadata: Mapping[str, Any], name: str) -> None:
    """Refuse a value that is not among a field's ``choices``, is outside its range, or is NaN or huge.

    Args:
        value: the value; None is always allowed.
        metadata: ``choices``, ``least``, ``above``, ``most`` and ``below``, as in `config.options.option`.
        name: the name of the value in messages.

    Raises:
        UserError: naming the value.

    Example:
        >>> check_value(1.5, {"above": 0, "below": 1}, "val_fraction")
        Traceback (most recent call last):
        resemblance.config.errors.UserError: val_fraction must be below 1, not 1.5
    """
    if value is None:
        return
    if "choices" in metadata and value not in metadata["choices"]:
        choices = [str(choice) for choice in metadata["choices"]]
        hint = near(str(value), choices)
        raise UserError(f"{name}: {_short(value)} is not one of {', '.join(choices)}{hint}")
    if not isinstance(value, int | float):
        return
    if value != value:
        raise UserError(f"{name}: not a number")
    if abs(value) >= LARGEST:
        raise UserError(f"{name}: {_short(value)} is too large")
    for key, (words, holds) in _LIMITS.items():
        if key in metadata and not holds(value, metadata[key]):
            raise UserError(f"{name} must be {words} {metadata[key]}, not {value}")


def _short(value: Any) -> str:
    """Show a value in an error of one line, whatever its length."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
