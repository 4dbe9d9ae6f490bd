"""The methods' configurations by name, found without importing a method."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from resemblance.config import methods
from resemblance.config.methods.base import MethodConfig


def method_configs() -> dict[str, type[MethodConfig]]:
    """Each method's configuration: the class in the module of the method's name.

    A class without a ``line`` for `resemblance methods` is no method, but what several of them share.

    Example:
        >>> method_configs()["kmex"].__name__
        'KMExConfig'
    """
    found: dict[str, type[MethodConfig]] = {}
    for entry in pkgutil.iter_modules(methods.__path__):
        module = import_module(f"{methods.__name__}.{entry.name}")
        for value in vars(module).values():
            own = isinstance(value, type) and value.__module__ == module.__name__
            if own and issubclass(value, MethodConfig) and value.line:
                found[entry.name] = value
    return found
