"""Methods by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import fields
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from resemblance.config.errors import UserError
from resemblance.config.listing import method_configs
from resemblance.config.methods.base import MethodConfig
from resemblance.config.model import ModelSpec
from resemblance.core.model import Model

# A method of this library stands in the module of its configuration's name, imported when it is asked for.
_SHIPPED = tuple(method_configs())
_METHODS: dict[str, tuple[type[Model], type[MethodConfig]]] = {}


def register(name: str, config: type[MethodConfig]) -> Callable[[type[Model]], type[Model]]:
    """Class decorator that enters a method under its name.

    Example:
        >>> list_methods()
        ['blackbox', 'deformable', 'flint', 'kmex', 'pipnet', 'protopnet', 'protopool',
         'protopshare', 'prototree', 'prototypedl', 'protovae', 'senn', 'tesnet']
    """

    def enter(cls: type[Model]) -> type[Model]:
        cls.name = name
        _METHODS[name] = (cls, config)
        return cls

    return enter


def list_methods() -> list[str]:
    """The names of all methods: this library's, then those that were registered besides."""
    return [*_SHIPPED, *(name for name in _METHODS if name not in _SHIPPED)]


def get(name: str) -> tuple[type[Model], type[MethodConfig]]:
    """A method's class and the class of its configuration.

    Raises:
        UserError: for an unknown name, with the nearest known one.
    """
    if name in _SHIPPED:
        import_module(f"resemblance.methods.{name}")
    if name not in _METHODS:
        near = difflib.get_close_matches(name, list_methods(), 1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; choose from {', '.join(list_methods())}"
        raise UserError(f"unknown method {name!r}{hint}")
    return _METHODS[name]


def build(
    name: str,
    config: MethodConfig | dict[str, Any],
    spec: ModelSpec,
    *,
    module: nn.Module | None = None,
    tensors: dict[str, Tensor] | None = None,
    load_weights: bool = True,
) -> Model:
    """Make a model.

    Args:
        name: the method.
        config: its configuration, or the fields of one.
        spec: classes and images.
        module: the user's own network, where the encoder is one.
        tensors: a saved state; only the shapes that depend on training are read from it (how many prototypes
            were left, and whose they are), the values are loaded by the caller.
        load_weights: whether to load the encoder's own weights (not needed when a state follows).

    Raises:
        UserError: for an unknown method or an impossible configuration.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> build("protopnet", {"encoder": "small"}, spec).prototypes.owners.shape
        torch.Size([20, 2])
    """
    cls, config_class = get(name)
    if isinstance(config, dict):
        known = [field.name for field in fields(config_class)]
        unknown = [key for key in config if key not in known]
        if unknown:
            raise UserError(f"{name} has no setting {unknown[0]!r}; it has {', '.join(known)}")
        config = config_class(**config)
    return cls.build(config, spec, module=module, tensors=tensors, load_weights=load_weights)
