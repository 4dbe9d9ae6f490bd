"""Make the options of a run from the keywords of a Python call, with the checks of the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

from resemblance.config.errors import UserError
from resemblance.config.method import MethodConfig
from resemblance.config.runs import ConvertOptions, TrainOptions
from resemblance.config.values import convert, near
from resemblance.data.sources.source import DataSplits
from resemblance.methods.registry import get_config

Data = str | DataSplits | None


def train_options(
    method: str,
    config: MethodConfig | None,
    keywords: Mapping[str, Any],
    data: Data,
    output: Path | str | None,
) -> tuple[MethodConfig, TrainOptions]:
    """Make the configuration of a method and the options of its training from keywords.

    Args:
        method: the name of the method.
        config: its configuration; None to make it from the keywords.
        keywords: the options by name.
        data: the name of the data set, or its splits.
        output: the run folder.

    Raises:
        UserError: if the method or an option does not exist, or a value is not valid.
    """
    config_class, caller = get_config(method), f"train({method!r})"
    if not config_class.trains:
        raise UserError(f"{caller}: this method is made of finished models, not trained")
    values = _complete(keywords, data, output)
    if config is None:
        config, options = configs_from(caller, values, config_class, TrainOptions)
        return config, options
    if not isinstance(config, config_class):
        raise UserError(f"{caller}: config is a {type(config).__name__}, not a {config_class.__name__}")
    return config, configs_from(caller, values, TrainOptions)[0]


def convert_options(
    model: Path | str | None, keywords: Mapping[str, Any], data: Data, output: Path | str | None
) -> ConvertOptions:
    """Make the options of a conversion from keywords.

    Args:
        model: the classifier's folder or name; None if the classifier is a module.
        keywords: the options by name.
        data: the name of the data set, or its splits.
        output: the run folder.

    Raises:
        UserError: if an option does not exist, or a value is not valid.
    """
    values = {**_complete(keywords, data, output), "model": model}
    options: ConvertOptions = configs_from("convert()", values, ConvertOptions)[0]
    return options


def configs_from(caller: str, options: Mapping[str, Any], *configs: type[Any]) -> list[Any]:
    """Make one instance of each dataclass from the options that are its fields.

    Args:
        caller: the function that received the options, for error messages.
        options: the options by the names of fields; a field of several dataclasses is set in each of them.
        configs: the dataclasses.

    Raises:
        UserError: if no dataclass has an option (the message suggests similar names), or a value has another type than
            its field.

    Example:
        >>> from resemblance.config.training import TrainConfig
        >>> [config] = configs_from("train()", {"epochs": 3}, TrainConfig)
        >>> config.epochs
        3
        >>> configs_from("train()", {"epoch": 3}, TrainConfig)
        Traceback (most recent call last):
        resemblance.config.errors.UserError: train() has no option 'epoch'; did you mean 'epochs'?
    """
    names = [item.name for config in configs for item in fields(config) if item.init]
    for name in options:
        if name not in names:
            hint = near(name, names) or f"; it has {', '.join(dict.fromkeys(names))}"
            raise UserError(f"{caller} has no option {name!r}{hint}")
    return [_config_from(caller, options, config) for config in configs]


def _config_from(caller: str, options: Mapping[str, Any], config: type[Any]) -> Any:
    hints = get_type_hints(config)
    values = {}
    for item in fields(config):
        if not item.init or item.name not in options:
            continue
        value = options[item.name]
        if "help" in item.metadata:
            try:
                value = convert(_plain(value), hints[item.name])
            except ValueError as error:
                raise UserError(f"{caller}, {item.name}: {error}") from None
        values[item.name] = value
    return config(**values)


def _plain(value: Any) -> Any:
    """Return a Python value as a YAML file would hold it."""
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value


def _complete(keywords: Mapping[str, Any], data: Data, output: Path | str | None) -> dict[str, Any]:
    """Add the defaults of Python calls, the data and the output; splits that are open have no name to be opened by."""
    is_open = isinstance(data, DataSplits)
    for name in ("val_fraction", "skip_bad_images", "labels", "window"):
        if is_open and name in keywords:
            raise UserError(f"{name} has no effect here: the images are already read and split")
    quiet = {"progress": False, "report": False}
    return {**quiet, **keywords, "data": None if is_open else data, "output": output}
