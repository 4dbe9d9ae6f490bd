"""Fields of a configuration: a default and the line of help that the command line shows."""

from __future__ import annotations

from dataclasses import field
from typing import Any


def option(default: Any, help: str, **metadata: Any) -> Any:
    """Declare a dataclass field with its help text; mutable defaults are given as a factory.

    Args:
        default: the default value, or a callable that makes one (``list``, ``dict``).
        help: one line, as the command line prints it.
        metadata: further hints, such as ``choices=(...)``.

    Example:
        >>> from dataclasses import dataclass, fields
        >>> @dataclass
        ... class Config:
        ...     rate: float = option(0.1, "learning rate")
        >>> fields(Config)[0].metadata["help"]
        'learning rate'
    """
    details = {"help": help, **metadata}
    if callable(default):
        return field(default_factory=default, metadata=details)
    return field(default=default, metadata=details)
