"""Import modules of the user's own: methods, data sources and networks that are not part of this library."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from types import ModuleType

from resemblance.config.errors import UserError


def import_user_module(name: str, purpose: str) -> ModuleType:
    """Import a module by name; the current folder is searched first, as ``python -m`` does.

    Args:
        name: ``package.module``.
        purpose: the option that names it, for the error message: ``--import exemplar``.

    Raises:
        UserError: if it cannot be imported, in one line.

    Example:
        >>> import_user_module("json", "--import json").__name__
        'json'
        >>> import_user_module("method.py", "--import method.py")
        Traceback (most recent call last):
        resemblance.config.errors.UserError: --import method.py: give the module's name, 'method', not a file's
    """
    if name.endswith(".py") or "/" in name or os.sep in name:
        module = name.removesuffix(".py").strip("./").replace(os.sep, ".").replace("/", ".")
        raise UserError(f"{purpose}: give the module's name, {module!r}, not a file's")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return import_module(name)
    except Exception as error:  # whatever the user's code raises while it is imported
        message = " ".join(str(error).split()) or "no message"
        raise UserError(f"{purpose}: cannot import {name!r}: {type(error).__name__}: {message}") from error
