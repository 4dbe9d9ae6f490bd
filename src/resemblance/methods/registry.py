"""Find methods by name: those of this library, those of installed packages, and those registered by `register`.

A method is registered by its configuration class, which imports no torch and names its model by a string: listing the
methods and showing their options imports no model.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resemblance.config.errors import UserError
from resemblance.config.files.typed import make, typed
from resemblance.config.method import MethodConfig
from resemblance.config.model import DESCRIPTION, ModelSpec
from resemblance.config.user_modules import import_user_module
from resemblance.config.values import near

if TYPE_CHECKING:
    from torch import Tensor, nn

    from resemblance.core.classifier import Classifier

ENTRY_POINTS = "resemblance.methods"
REGISTRATION_HINT = (
    "import the module that registers it, on the command line with --import package.module, "
    "or pip install its package"
)

_REGISTERED: dict[str, type[MethodConfig]] = {}


def register(config: type[MethodConfig]) -> type[MethodConfig]:
    """Register a method by its configuration class; to be used as a class decorator.

    Args:
        config: the configuration class, with a ``name`` and a ``model``: ``package.module:Class``.

    Raises:
        ValueError: if either is missing, or a method of this library has the same name.

    Example:
        >>> 'kmex' in list_methods()
        True
    """
    if not config.name or ":" not in config.model:
        raise ValueError(f"{config.__name__} needs a name, and a model as package.module:Class")
    if config.name in _shipped():
        raise ValueError(f"{config.name!r} is the name of a method of this library")
    _REGISTERED[config.name] = config
    return config


def import_methods(module: str) -> None:
    """Import a module that registers methods; the current folder is searched first.

    Args:
        module: ``package.module``, the value of ``--import``.

    Raises:
        UserError: if it cannot be imported.
    """
    import_user_module(module, "--import")


def method_configs() -> dict[str, type[MethodConfig]]:
    """Return the configuration class of each method that can be trained, by name.

    Raises:
        UserError: if an installed package names a configuration that cannot be imported.

    Example:
        >>> method_configs()["kmex"].__name__
        'KMExConfig'
    """
    return {name: config for name, config in known_configs().items() if config.trains}


def known_configs() -> dict[str, type[MethodConfig]]:
    """Return the configuration class of each method by name, including those that are made of finished models."""
    return {**_shipped(), **_installed(), **_REGISTERED}


def list_methods() -> list[str]:
    """Return the names of all methods, those of this library first."""
    return list(method_configs())


def get_config(name: str) -> type[MethodConfig]:
    """Return the configuration class of a method.

    Raises:
        UserError: if there is no method of this name; the message suggests similar names.
    """
    configs = known_configs()
    if name not in configs:
        hint = near(name, list(configs)) or f"; choose from {', '.join(configs)}"
        raise UserError(f"unknown method {name!r}{hint} (for a method of your own, {REGISTRATION_HINT})")
    return configs[name]


def find_class(name: str) -> type | None:
    """Return the configuration or model class of this library with a name; None if there is none.

    Example:
        >>> find_class("ProtoPNetConfig").__name__, find_class("ProtoPNet").__name__, find_class("ProtoNet")
        ('ProtoPNetConfig', 'ProtoPNet', None)
    """
    for config in _shipped().values():
        if config.__name__ == name:
            return config
        if config.model.partition(":")[2] == name:
            return model_class(config)
    return None


def model_class(config: type[MethodConfig]) -> type[Classifier]:
    """Import and return the model class of a configuration.

    Raises:
        UserError: if it cannot be imported.
    """
    module, _, name = config.model.partition(":")
    try:
        model: type[Classifier] = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"the model of the method {config.name!r} cannot be imported: {error}") from None
    return model


def build(
    name: str,
    config: MethodConfig | Mapping[str, Any],
    spec: ModelSpec,
    *,
    module: nn.Module | None = None,
    tensors: Mapping[str, Tensor] | None = None,
    load_weights: bool = True,
) -> Classifier:
    """Build a model.

    Args:
        name: the name of the method.
        config: its configuration, or the fields of one.
        spec: the classes and images.
        module: the user's own network, if it is the encoder.
        tensors: a saved state dict, from which only what depends on training is read: the number of prototypes and
            their classes. The caller loads the values.
        load_weights: whether to load the weights of the encoder (not necessary if the caller loads a state dict).

    Raises:
        UserError: if the method does not exist, or the configuration is not valid.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> build("protopnet", {"encoder": "small"}, spec).prototypes.owners.shape
        torch.Size([20, 2])
    """
    config_class = get_config(name)
    if not isinstance(config, MethodConfig):
        config = make(config_class, config, name)
    model = model_class(config_class)
    return model.build(config, spec, module=module, tensors=tensors, load_weights=load_weights)


def build_described(
    entry: Mapping[str, Any],
    *,
    module: nn.Module | None = None,
    tensors: Mapping[str, Tensor] | None = None,
    load_weights: bool = True,
) -> Classifier:
    """Build a model that is part of another one, from its description in the other's configuration.

    Args:
        entry: ``method``, ``config`` and ``spec``.
        module: as for `build`, like the other arguments.
        tensors: the part's own, by the names that it has alone.
        load_weights: see `build`.

    Raises:
        UserError: as `build`, or if the description is not complete.
    """
    entries = typed(entry, DESCRIPTION, "a model in this model", required=True)
    return build(
        entries["method"],
        entries["config"],
        ModelSpec.from_dict(entries["spec"]),
        module=module,
        tensors=tensors,
        load_weights=load_weights,
    )


@lru_cache(maxsize=1)
def _shipped() -> dict[str, type[MethodConfig]]:
    """Return the methods of this library: the folders here whose ``config.py`` has a configuration of their name."""
    configs: dict[str, type[MethodConfig]] = {}
    for entry in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if not entry.ispkg:
            continue
        module = import_module(f"resemblance.methods.{entry.name}.config")
        for value in vars(module).values():
            defined_here = isinstance(value, type) and value.__module__ == module.__name__
            if defined_here and issubclass(value, MethodConfig) and value.name == entry.name:
                configs[entry.name] = value
    return configs


@lru_cache(maxsize=1)
def _installed() -> dict[str, type[MethodConfig]]:
    """Return the methods of installed packages, from their entry points in the group ``resemblance.methods``."""
    configs = {}
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            config = entry.load()
        except Exception as error:
            raise UserError(
                f"the installed method {entry.name!r} ({entry.value}) cannot be imported: "
                f"{type(error).__name__}: {error}"
            ) from None
        if not (isinstance(config, type) and issubclass(config, MethodConfig) and config.name):
            raise UserError(
                f"the installed method {entry.name!r}: {entry.value} is not the configuration class of a method"
            )
        if config.name in _shipped():
            raise UserError(
                f"the installed method {entry.value} has the same name as a method of this library"
            )
        configs[config.name] = config
    return configs
