"""Find run folders, check that one can be made, and write into it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from resemblance.config.errors import UserError
from resemblance.config.files.options_file import read_options
from resemblance.config.files.typed import typed
from resemblance.config.values import check_value
from resemblance.printing.characters import fits_a_line

CONFIG, METRICS, PAGE = "config.yaml", "metrics.json", "report.html"
EVALUATION, EVALUATION_PAGE = "evaluation", "evaluation.html"
AUDIT, AUDIT_PAGE, AUDIT_DOCUMENT, AUDIT_JUNIT = "audit", "audit.html", "audit.json", "audit.xml"
MODEL, CHECKPOINTS = "model", "checkpoints"
LARGEST_CONFIG = 500_000  # bytes; enough for the names of 20,000 classes
# The options of a run that are read from its config.yaml.
CONFIG_TYPES = {
    "command": str,
    "method": str,
    "data": str | None,
    "seed": int | None,
    "split_seed": int | None,
    "val_fraction": float,
    "skip_bad_images": bool,
    "labels": str | None,
    "window": list[float] | None,
    "refit_on_all": bool,
    "jpeg_classes": list[str] | None,
    "jpeg_quality": int,
}
CONFIG_LIMITS = {
    "seed": {"least": 0},
    "split_seed": {"least": 0},
    "val_fraction": {"above": 0, "below": 1},
    "jpeg_quality": {"least": 1, "most": 95},
}


def find_run_folder(path: Path) -> Path | None:
    """Return the run folder of a path that is a run folder or the model folder in one; None for other paths.

    A run folder has a ``model/``. Its config.yaml is missing if the model was trained by `fit` and saved by hand.

    Example:
        >>> find_run_folder(Path("/nowhere")) is None
        True
    """
    if _has_model(path):
        return path
    parent = path.resolve().parent
    is_model = path.resolve().name == MODEL and _has_model(parent)
    is_run = any((parent / name).exists() for name in (CONFIG, CHECKPOINTS))
    return parent if is_model and is_run else None


def read_config(folder: Path) -> dict[str, Any]:
    """Return the content of a run folder's config.yaml; empty if it has none.

    Raises:
        UserError: if it cannot be read, or an option that is read from it has another type.
    """
    path = folder / CONFIG
    if not path.exists():
        return {}
    values = typed(read_options(path, LARGEST_CONFIG), CONFIG_TYPES, str(path))
    for name, limits in CONFIG_LIMITS.items():
        check_value(values.get(name), limits, f"{path}: {name}")
    return values


def check_run_folder(folder: Path, resume: bool | None = None) -> Path:
    """Check before the computation that a run can be saved in a folder, and return it; `write_config` makes it.

    Args:
        folder: the run folder.
        resume: whether to continue the run in it; None for commands that cannot.

    Raises:
        UserError: if it cannot be written, or already holds a run, or its name is not UTF-8.
    """
    if not fits_a_line(str(folder)):  # TensorBoard cannot open such files
        raise UserError(f"{folder}: the name has control characters or is not UTF-8; give another --output")
    check_writable(folder)
    if not resume and any((folder / name).exists() for name in (MODEL, CHECKPOINTS)):
        alternative = ", or --resume to continue it" if resume is not None else ""
        raise UserError(f"{folder} already holds a run; give another --output{alternative}")
    return folder


def in_folder(output: Path | None, name: str) -> Path | None:
    """Return the file to write: ``output``, or ``name`` in it if it is a folder.

    Example:
        >>> in_folder(Path("figures/"), "latents.png").as_posix(), in_folder(Path("a.png"), "b.png").as_posix()
        ('figures/latents.png', 'a.png')
    """
    if output is not None and (output.is_dir() or not output.suffix):
        return output / name
    return output


def check_writable(folder: Path) -> None:
    """Check that a folder exists and can be written, or that it can be made.

    Raises:
        UserError: if nothing can be written there.
    """
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise UserError(f"cannot make the folder {folder}: {existing} is a file")
    if not os.access(existing, os.W_OK):
        raise UserError(f"cannot write into {existing}")


def make_folder(folder: Path) -> Path:
    """Make a folder if it does not exist, and return it.

    Raises:
        UserError: if it cannot be made.
    """
    check_writable(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder}: {error.strerror}") from None
    return folder


def _has_model(folder: Path) -> bool:
    return (folder / MODEL / "config.json").is_file()
