"""Read the description in a model folder, without torch, for methods that start from a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from resemblance.config.errors import UserError
from resemblance.config.files.json_file import read_json
from resemblance.config.files.typed import typed
from resemblance.config.model import DESCRIPTION


def describe(path: str) -> dict[str, Any]:
    """Read the method, the configuration, the classes and the images of a model in a run or model folder.

    Args:
        path: the folder.

    Returns:
        ``method``, ``config``, ``spec`` and whatever else its config.json holds. The checksums in it are not checked:
        loading the model does that.

    Raises:
        UserError: if there is no model there.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise UserError(f"--start {path}: no such folder; a run or model folder was expected")
    if not (folder / "model").is_dir() and (folder / "checkpoints").is_dir():
        raise UserError(f"--start {path} holds a run that is not finished; continue it with train --resume")
    file = (folder / "model" if (folder / "model").is_dir() else folder) / "config.json"
    if not file.is_file():
        raise UserError(
            f"--start {path} is neither a run folder (with model/) nor a model folder (with config.json)"
        )
    return typed(read_json(file), DESCRIPTION, f"--start {path}: {file.name}", required=True)
