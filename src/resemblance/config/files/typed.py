"""Check the values of a file, which another program or another version may have written, against types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar, get_type_hints

from resemblance.config.errors import UserError
from resemblance.config.values import convert, near

Config = TypeVar("Config")


def typed(values: Any, kinds: Mapping[str, Any], place: str, *, required: bool = False) -> dict[str, Any]:
    """Convert the entries of a mapping to their types, as far as these are known; other entries stay as they are.

    Args:
        values: the mapping, as JSON or YAML holds it.
        kinds: name → type, as `config.values.convert` reads it.
        place: the file, for messages.
        required: whether all of these entries must be there.

    Raises:
        UserError: naming the place and the entry, if ``values`` is not a mapping, or an entry is missing or has another
            type.

    Example:
        >>> typed({"seed": 3, "note": "x"}, {"seed": int}, "config.yaml")
        {'seed': 3, 'note': 'x'}
        >>> typed({"seed": [3]}, {"seed": int}, "config.yaml")
        Traceback (most recent call last):
        resemblance.config.errors.UserError: config.yaml: seed: expected a whole number, not [3]
    """
    if not isinstance(values, Mapping):
        raise UserError(f"{place}: expected names and values, not {type(values).__name__}")
    converted = dict(values)
    for name, kind in kinds.items():
        if name in converted:
            try:
                converted[name] = convert(converted[name], kind)
            except ValueError as error:
                raise UserError(f"{place}: {name}: {error}") from None
            except TypeError:  # a type of another package's configuration, which has to check it itself
                continue
        elif required:
            raise UserError(f"{place}: {name!r} is missing")
    return converted


def make(config: type[Config], values: Any, place: str) -> Config:
    """Make a dataclass from the values of a file.

    Args:
        config: the dataclass.
        values: its fields by name.
        place: the file, for messages.

    Raises:
        UserError: naming the place, if a name is unknown or missing, a value has another type, or the dataclass refuses
            it.

    Example:
        >>> from resemblance.config.training import TrainConfig
        >>> make(TrainConfig, {"epochs": 3}, "config.yaml").epochs
        3
        >>> make(TrainConfig, {"epoch": 3}, "config.yaml")
        Traceback (most recent call last):
        resemblance.config.errors.UserError: config.yaml has no setting 'epoch'; did you mean 'epochs'?
    """
    known = {item.name: item for item in fields(config) if item.init}  # type: ignore[arg-type]
    converted = typed(values, {name: get_type_hints(config)[name] for name in known}, place)
    for name in converted:
        if name not in known:
            hint = near(str(name), list(known)) or f"; it has {', '.join(known)}"
            raise UserError(f"{place} has no setting {repr(name)[:100]}{hint}")
    for name, item in known.items():
        if name not in converted and item.default is MISSING and item.default_factory is MISSING:
            raise UserError(f"{place}: {name!r} is missing")
    try:
        return config(**converted)
    except UserError as error:
        raise UserError(f"{place}: {error}") from None
