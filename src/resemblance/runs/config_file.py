"""Write config.yaml of a run folder: the command with all its options, and the versions of the libraries."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from resemblance.runs.folders import CONFIG, make_folder
from resemblance.version import __version__
from resemblance.writing import write_text

PACKAGES = ("torch", "torchvision", "timm", "lightning", "numpy", "scikit-learn", "Pillow", "safetensors")
LEFT_OUT = ("resume", "json")  # options that do not change the run


def write_config(folder: Path, command: str, values: Mapping[str, Any]) -> None:
    """Write config.yaml, which ``--config`` can read.

    Args:
        folder: the run folder; it is made if necessary.
        command: ``train`` or ``convert``.
        values: the options by name.
    """
    lines = {**config_lines(command, values), "versions": versions()}
    write_text(make_folder(folder) / CONFIG, yaml.safe_dump(lines, sort_keys=False, allow_unicode=True))


def config_lines(command: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of config.yaml without the versions; see `write_config`."""
    lines: dict[str, Any] = {"command": command}
    lines |= {key: _plain(value) for key, value in values.items() if key not in LEFT_OUT}
    if lines.get("data"):
        lines["data"] = absolute(lines["data"])
    if lines.get("labels"):
        lines["labels"] = absolute_table(lines["labels"])
    return lines


def absolute(data: str) -> str:
    """Return a data set's name with the absolute path of its folder, so that it can be opened from any folder."""
    kind, colon, folder = data.rpartition(":")
    if not Path(folder).exists() or (not colon and data == "digits"):
        return data
    return f"{kind}{colon}{Path(folder).resolve()}"


def absolute_table(labels: str) -> str:
    """Return the name of a table of labels, perhaps with ``:COLUMN``, with the absolute path of its file."""
    for path, column in ((labels, ""), (labels.rpartition(":")[0], labels.rpartition(":")[2])):
        if path and Path(path).expanduser().is_file():
            return f"{Path(path).expanduser().resolve()}{':' if column else ''}{column}"
    return labels


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that compute."""
    numbers = {"resemblance": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            numbers[package] = version(package)
        except PackageNotFoundError:
            continue
    return numbers


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, Path) else value
