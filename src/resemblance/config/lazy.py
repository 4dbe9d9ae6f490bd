"""Import the public names of a package when they are first used (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any


def import_name(package: str, name: str, homes: Mapping[str, str]) -> Any:
    """Import a public name of a package, and add it to the package.

    Args:
        package: the ``__name__`` of the package.
        name: the name.
        homes: the module of each name, within ``resemblance``.

    Raises:
        AttributeError: if the package has no such name.

    Example:
        >>> import_name("resemblance", "UserError", {"UserError": "config.errors"}).__name__
        'UserError'
    """
    if name not in homes:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    value = getattr(import_module(f"resemblance.{homes[name]}"), name)
    vars(sys.modules[package])[name] = value
    return value
