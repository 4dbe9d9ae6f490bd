"""Fields of a configuration: a default and the help text that the command line shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any


def option(
    default: Any,
    help: str,
    *,
    off: str | None = None,
    choices: Sequence[Any] | None = None,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    metavar: str | None = None,
    title: str | None = None,
    positional: bool = False,
    many: bool = False,
    optional: bool = False,
    repeated: bool = False,
    required: bool = False,
    hidden: bool = False,
) -> Any:
    """Declare a dataclass field together with its help text.

    Args:
        default: the default value, or a callable that makes one (``list``, ``dict``).
        help: one line, as the command line prints it.
        off: the help text of ``--no-NAME``, for a switch whose default is not false.
        choices: the values that are allowed.
        least: the smallest number that is allowed.
        above: the number must be larger than this.
        most: the largest number that is allowed.
        below: the number must be smaller than this.
        metavar: the placeholder of the value in the help.
        title: the group in the help; by default the class variable ``group`` of the class that declares the field.
        positional: the value is a word without ``--NAME`` before it.
        many: a positional value that takes all the remaining words.
        optional: a positional value that may be left out.
        repeated: the option may be given several times; its value is a list of what is given.
        required: the option must be given.
        hidden: the option can stand in a configuration file only, and the help does not show it.

    Raises:
        ValueError: if a switch that is on by default has no help text for ``--no-NAME``.

    Example:
        >>> from dataclasses import dataclass, fields
        >>> @dataclass
        ... class Config:
        ...     rate: float = option(0.1, "learning rate")
        >>> fields(Config)[0].metadata["help"]
        'learning rate'
    """
    if default is True and not off:
        raise ValueError(f"the switch {help!r} is on by default: say in `off` what --no-NAME does")
    entries = {
        "off": off,
        "choices": choices,
        "least": least,
        "above": above,
        "most": most,
        "below": below,
        "metavar": metavar,
        "title": title,
        "positional": positional or None,
        "many": many or None,
        "optional": optional or None,
        "repeated": repeated or None,
        "required": required or None,
        "hidden": hidden or None,
    }
    metadata = {"help": help} | {name: value for name, value in entries.items() if value is not None}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)
