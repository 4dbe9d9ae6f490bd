"""Figures to files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from resemblance.config.errors import UserError
from resemblance.runs.folders import make_folder

FORMATS = (".png", ".pdf", ".svg", ".jpg")


def check_picture(path: Path) -> Path:
    """See that the ending names a format that figures are written in.

    Raises:
        UserError: if it does not.
    """
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"{path}: a picture ends in {', '.join(FORMATS)}")
    return path


def save_figure(figure: Any, path: Path) -> Path:
    """Write a matplotlib figure; the ending says in which format.

    Raises:
        UserError: for another ending, or where nothing can be written.
    """
    check_picture(path)
    make_folder(path.parent)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
    return path
