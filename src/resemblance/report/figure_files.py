"""Write figures to files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from resemblance.config.errors import UserError
from resemblance.runs.folders import make_folder
from resemblance.writing import replacing

FORMATS = (".png", ".pdf", ".svg", ".jpg")


def check_picture(path: Path) -> Path:
    """Check that the ending of a path is a format of figures, and return the path.

    Raises:
        UserError: if it is not.
    """
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"{path}: the name of a picture must end in {', '.join(FORMATS)}")
    return path


def save_figure(figure: Any, path: Path) -> Path:
    """Write a matplotlib figure in the format of the path's ending, and return the path.

    Raises:
        UserError: if the ending is another one, or the file cannot be written.
    """
    check_picture(path)
    make_folder(path.parent)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format=path.suffix[1:].lower())
    return path
