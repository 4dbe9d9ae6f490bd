"""Run folders: find one, check that one can be made, write into it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from resemblance.config.errors import UserError

CONFIG, METRICS, MODEL, CHECKPOINTS = "config.yaml", "metrics.json", "model", "checkpoints"


def find_run_folder(path: Path) -> Path | None:
    """Return the run folder that a path is, or whose model folder it is; None if there is no run around it.

    A run folder has a ``model/``. Its config.yaml is missing where the model was trained by `fit` and saved by hand.

    Example:
        >>> find_run_folder(Path("/nowhere")) is None
        True
    """
    if _has_model(path):
        return path
    around = path.resolve().parent
    is_model = path.resolve().name == MODEL and _has_model(around)
    made_here = any((around / name).exists() for name in (CONFIG, CHECKPOINTS))
    return around if is_model and made_here else None


def read_config(folder: Path) -> dict[str, Any]:
    """Return what a run folder's config.yaml says; empty without one.

    Raises:
        UserError: if it cannot be read.
    """
    path = folder / CONFIG
    if not path.is_file():
        return {}
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    return values if isinstance(values, dict) else {}


def check_run_folder(folder: Path, resume: bool | None = None) -> Path:
    """See before anything is computed that a run can be kept in a folder; it is made by `record`.

    Args:
        folder: the run folder.
        resume: whether to go on with the run there; None for commands that cannot.

    Raises:
        UserError: if it cannot be written, or holds a run already.
    """
    check_writable(folder)
    if not resume and any((folder / name).exists() for name in (MODEL, CHECKPOINTS)):
        cure = ", or --resume to go on with it" if resume is not None else ""
        raise UserError(f"{folder} holds a run already; give another --output{cure}")
    return folder


def in_folder(output: Path | None, name: str) -> Path | None:
    """Return the file that the user wants: ``output``, or ``name`` in it if that is a folder.

    Example:
        >>> in_folder(Path("figures/"), "latents.png").as_posix(), in_folder(Path("a.png"), "b.png").as_posix()
        ('figures/latents.png', 'a.png')
    """
    if output is not None and (output.is_dir() or not output.suffix):
        return output / name
    return output


def check_writable(folder: Path) -> None:
    """See that a folder is there or can be made.

    Raises:
        UserError: if nothing can be written there.
    """
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise UserError(f"cannot make the folder {folder}: {place} is a file")
    if not os.access(place, os.W_OK):
        raise UserError(f"cannot write into {place}")


def make_folder(folder: Path) -> Path:
    """Make a folder where it is not there yet.

    Raises:
        UserError: if it cannot be made.
    """
    check_writable(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder}: {error.strerror}") from None
    return folder


def write_text(path: Path, text: str) -> None:
    """Write a file in UTF-8.

    Raises:
        UserError: if it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None


def _has_model(folder: Path) -> bool:
    return (folder / MODEL / "config.json").is_file()
