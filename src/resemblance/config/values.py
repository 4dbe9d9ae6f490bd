"""From what stands on the command line or in a YAML file to the value that a typed field wants."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from resemblance.config.errors import UserError

LARGEST = 1 << 63  # numbers from here on are no seeds of PyTorch, and nothing else either

_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    Path: "a path",
    type(None): "null",
    dict: "a mapping",
}


def near(name: str, names: Sequence[str]) -> str:
    """Words that suggest the names nearest to a misspelt one, or nothing.

    Example:
        >>> near("kmexx", ["kmex", "protopnet"])
        "; did you mean 'kmex'?"
    """
    found = get_close_matches(name, list(names), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(repr(match) for match in found)}?" if found else ""


def convert(value: Any, wanted: Any) -> Any:
    """Turn text, or a value read from YAML, into one of the type wanted.

    Args:
        value: text such as ``"0.5,0.4"``, or a number, list, ... from YAML.
        wanted: int, float, str, bool, Path, a Literal, ``X | None``, ``tuple[X, ...]`` or ``list[X]``.

    Raises:
        ValueError: if the value does not fit.

    Example:
        >>> convert("0.5,0.4", tuple[float, ...] | None), convert("null", int | None), convert(3, float)
        ((0.5, 0.4), None, 3.0)
    """
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        for option in sorted(inner, key=lambda kind: kind is not type(None)):
            try:
                return convert(value, option)
            except ValueError:
                continue
    elif wanted is type(None):
        if value is None or value in ("null", "None"):
            return None
    elif origin is Literal:
        if value in inner:
            return value
    elif origin in (tuple, list):
        if isinstance(value, str):
            value = [part.strip() for part in value.strip("()[] ").split(",") if part.strip()]
        elif isinstance(value, int | float):
            value = [value]
        endless = origin is list or (len(inner) == 2 and inner[1] is Ellipsis)
        if isinstance(value, list | tuple) and (endless or len(value) == len(inner)):
            kinds = [inner[0]] * len(value) if endless else inner
            return origin(convert(item, kind) for item, kind in zip(value, kinds, strict=True))
    elif wanted is bool:
        if isinstance(value, bool):
            return value
    elif wanted in (int, float):
        if not isinstance(value, bool) and not (wanted is int and isinstance(value, float) and value % 1):
            try:
                return wanted(value)
            except (TypeError, ValueError):
                pass
    elif wanted is Path:
        if isinstance(value, str | Path) and str(value):
            return Path(value).expanduser()
    elif wanted is str:
        if isinstance(value, str | int | float | Path) and not isinstance(value, bool):
            return str(value)
    elif (origin or wanted) is dict and isinstance(value, dict):
        return value
    raise ValueError(f"expected {describe(wanted)}, not {value!r}")


def describe(wanted: Any) -> str:
    """What values a type takes, in words.

    Example:
        >>> describe(int | tuple[int, int] | None)
        'a whole number, 2 values separated by commas (each a whole number) or null'
    """
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        words = [describe(kind) for kind in inner]
        return f"{', '.join(words[:-1])} or {words[-1]}"
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if origin in (tuple, list):
        count = "" if origin is list or inner[-1] is Ellipsis else f"{len(inner)} "
        return f"{count}values separated by commas (each {describe(inner[0])})"
    return _WORDS.get(origin or wanted, str(wanted))


def flag(name: str) -> str:
    """The option of a field: ``image_size`` is ``--image-size``."""
    return "--" + name.replace("_", "-")


def check_fields(config: Any) -> None:
    """Refuse values that the metadata of a configuration's fields forbid, whoever made it.

    Raises:
        UserError: for the first such value, naming its option.

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
    """Refuse a value that is not among a field's ``choices`` or below its ``least``, or is no usable number.

    Raises:
        UserError: in one line that begins with the option's name.
    """
    if value is None:
        return
    if "choices" in metadata:
        check_choice(value, metadata["choices"], name)
    if not isinstance(value, int | float):
        return
    if not abs(value) < LARGEST:  # also refuses NaN
        raise UserError(f"{name}: {value} is too large" if value == value else f"{name}: not a number")
    if "least" in metadata and value < metadata["least"]:
        raise UserError(f"{name} must be at least {metadata['least']}, not {value}")


def check_choice(value: Any, choices: Sequence[Any], name: str) -> None:
    """Refuse a value that is not among the choices, naming the near ones.

    Raises:
        UserError: naming the choices.
    """
    if value not in choices:
        listed = ", ".join(map(str, choices))
        raise UserError(
            f"{name}: {value!r} is not one of {listed}{near(str(value), [str(c) for c in choices])}"
        )
