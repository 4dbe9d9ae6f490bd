"""Find the table of labels of a tree of image files: the one that is named, or one that lies beside the images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from resemblance.config.errors import UserError
from resemblance.data.labels.file_names import FileNames
from resemblance.data.labels.label_table import SUFFIXES_OF_TABLES, LabelTable, Row, read_table
from resemblance.data.sources.layout import looks_like_image, split_named
from resemblance.data.sources.tree import MAX_FILE, Folder, Tree
from resemblance.data.text import listed, one_line, reason

NONE = "none"  # of --labels: read the classes off the folders
TRIED = 12  # rows of a table whose files are looked for, to see whether it fits
MOST = 30  # tables that are looked at
LARGEST = 1 << 26  # bytes of a table that is found by itself
NO_LABELS = "submission"  # in the names of tables that competitions want to have filled in


def named_table(tree: Tree, labels: str) -> LabelTable:
    """Read the table that the user names: a file, or one in the tree, perhaps with ``:COLUMN`` for the classes.

    Raises:
        UserError: if there is none, or it cannot be read.
    """
    name, column = labels, None
    data = _contents(tree, name)
    if data is None and ":" in labels:
        name, _, column = labels.rpartition(":")
        data = _contents(tree, name)
    if data is None:
        beside = [file for file in tree.names if file.lower().endswith(SUFFIXES_OF_TABLES)]
        hint = f"; beside the images there is {listed(beside, 3)}" if beside else ""
        raise UserError(f"--labels {one_line(labels)}: no such table{hint}")
    return read_table(data, one_line(name), column)


def tables_beside(tree: Tree, files: Sequence[str]) -> tuple[list[LabelTable], list[LabelTable]]:
    """Read the tables that lie beside the images or above them.

    Args:
        tree: the files.
        files: the image files.

    Returns:
        Those whose first rows name some of the images, and the others that name files.
    """
    above = {""}
    for folder in {file.rpartition("/")[0] for file in files}:
        while folder:
            above.add(folder)
            folder = folder.rpartition("/")[0]
    places = [
        file
        for file in tree.names
        if file.lower().endswith(SUFFIXES_OF_TABLES)
        and file.rpartition("/")[0] in above
        and NO_LABELS not in file.lower()
    ]
    if not places:
        return [], []
    names = FileNames(files)
    fitting: list[LabelTable] = []
    others: list[LabelTable] = []
    for place in sorted(places, key=lambda place: (place.count("/"), place))[:MOST]:
        try:
            data = tree.read(place)
            if len(data) > LARGEST:
                continue
            table = read_table(data, one_line(place))
        except UserError:
            continue  # a table of something else
        step = max(len(table.rows) // TRIED, 1)
        fits = any(row.file and names.find(row.file) for row in table.rows[::step])
        (fitting if fits else others).append(table)
    return fitting, others


def has_label_table(folder: Path) -> bool:
    """Check whether a table of classes lies in a folder of images, beside the images or above them."""
    if not folder.is_dir():
        return False
    tree = Folder(folder)
    fitting, _ = tables_beside(tree, [file for file in tree.names if looks_like_image(file)])
    return any(table.columns.classes for table in fitting)


def joined_tables(tables: Sequence[LabelTable]) -> LabelTable | None:
    """Join tables that are called train, val and test, or lie in folders of these names; None for others."""
    parts = [_split_of(table.shown) for table in tables]
    if len(set(parts)) < len(parts) or not all(parts) or "train" not in parts:
        return None
    rows = []
    for table, part in zip(tables, parts, strict=True):
        folder = table.shown.rpartition("/")[0]
        for row in table.rows:
            file = f"{folder}/{row.file}" if split_named(folder.rpartition("/")[2]) else row.file
            rows.append(Row(file, row.label, part, row.group))
    first = tables[parts.index("train")]
    header = [*first.header, "split"]
    columns = first.columns._replace(split=len(header) - 1)
    return LabelTable(" and ".join(table.shown for table in tables), rows, columns, header)


def _split_of(shown: str) -> str:
    folder, _, name = shown.rpartition("/")
    return split_named(name.rpartition(".")[0]) or split_named(folder.rpartition("/")[2])


def _contents(tree: Tree, name: str) -> bytes | None:
    path = Path(name).expanduser()
    try:
        if os.path.isfile(path):
            if path.stat().st_size > MAX_FILE:
                raise UserError(f"{one_line(name)}: over {MAX_FILE >> 20} MiB; refused")
            return path.read_bytes()
    except OSError as error:
        raise UserError(f"{one_line(name)}: {reason(error)}") from None
    inside = name.replace("\\", "/").removeprefix("./")
    return tree.read(inside) if inside in set(tree.names) else None
