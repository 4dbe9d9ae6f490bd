"""The true classes of images that are explained, from a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from resemblance.config.errors import UserError
from resemblance.data.labels.file_names import FileNames
from resemblance.data.labels.find_tables import NO_LABELS
from resemblance.data.labels.from_table import plain_label
from resemblance.data.labels.label_table import SUFFIXES_OF_TABLES, LabelTable, read_table
from resemblance.data.sources.tree import MAX_FILE
from resemblance.data.text import listed, one_line, reason


def read_label_table(path: Path) -> LabelTable:
    """Read a table of files and classes.

    Raises:
        UserError: if it cannot be read, or has no column of classes.
    """
    shown = one_line(path)
    try:
        if path.expanduser().stat().st_size > MAX_FILE:
            raise UserError(f"{shown}: over {MAX_FILE >> 20} MiB; refused")
        table = read_table(path.expanduser().read_bytes(), shown)
    except OSError as error:
        raise UserError(f"--labels {shown}: {reason(error)}") from None
    if not table.columns.classes:
        raise UserError(
            f"{shown}: no column names classes; its columns are {listed(table.header, 12)}; call one class"
        )
    return table


def labels_of_images(table: LabelTable, paths: Sequence[str | None]) -> list[str | None]:
    """Return the class of each image in a table; None for images without a row or a file.

    Raises:
        UserError: if a row fits several images, or none does.
    """
    names = FileNames(path for path in dict.fromkeys(paths) if path is not None)
    labels: dict[str, str] = {}
    for row in table.rows:
        found = names.find(row.file) if row.file and row.label else []
        if len(found) > 1:
            raise UserError(
                f"{table.shown}: {one_line(row.file)} could be {listed(found, 3)}; name it with its folder"
            )
        if found:
            labels[found[0]] = plain_label(row.label)
    if not labels:
        raise UserError(
            f"{table.shown}: none of its {len(table.rows)} rows is about one of the {len(paths)} images"
        )
    return [None if path is None else labels.get(path) for path in paths]


def labels_beside(roots: Iterable[Path], paths: Sequence[str | None]) -> tuple[str, list[str | None]] | None:
    """Return the name of the only table in folders of images that names some of these, and the class of each image."""
    fitting = []
    for root in sorted(set(roots)):
        try:
            entries = sorted(
                entry for entry in root.iterdir() if entry.name.lower().endswith(SUFFIXES_OF_TABLES)
            )
        except OSError:
            continue
        for entry in entries:
            if NO_LABELS in entry.name.lower():
                continue
            try:
                fitting.append((one_line(entry), labels_of_images(read_label_table(entry), paths)))
            except UserError:
                continue  # a table of something else
    return fitting[0] if len(fitting) == 1 else None
