"""Decide where the classes of image files come from: their folders, or a table."""

from __future__ import annotations

from collections.abc import Sequence

from resemblance.config.errors import UserError
from resemblance.data.labels.find_tables import NONE, joined_tables, named_table, tables_beside
from resemblance.data.labels.from_table import (
    files_of_table,
    folders_by_files,
    match_rows,
    number_groups,
    split_rows,
)
from resemblance.data.labels.label_table import LabelTable
from resemblance.data.sources.labelled_files import LabelledFile, LabelledFiles, files_of_folders
from resemblance.data.sources.layout import Layout, find_layout, looks_like_image
from resemblance.data.sources.masks_beside import masks_beside, note_on_masks
from resemblance.data.sources.tree import Tree
from resemblance.data.text import listed

ALMOST_ALL = 0.95  # of the images of class folders, which a table must label to be taken instead


def label_files(tree: Tree, name: str, labels: str | None, skip: bool) -> LabelledFiles:
    """Return the image files of a tree with their classes, splits and groups; masks beside images are left out.

    Args:
        tree: the files.
        name: the name of the data in messages.
        labels: a table, perhaps with ``:COLUMN``; ``none`` for the folders; None for the folders where these are
            classes, else for the only table that lies beside the images.
        skip: whether to leave out images whose rows cannot be used, instead of stopping.

    Raises:
        UserError: if there are no class folders and no table, or the table cannot be used.
    """
    masks = masks_beside(tree.names)
    images = [file for file in tree.names if looks_like_image(file) and file not in masks]
    # Scanners write DICOM files without a suffix.
    images = images or [file for file in tree.names if "." not in file.rpartition("/")[2]]
    if labels is not None and labels != NONE:
        labelled = _by_named_table(tree, named_table(tree, labels), images, name, skip, masks)
    else:
        labelled = _by_what_is_there(tree, images, name, labels != NONE, skip, masks)
    labelled.notes += [*tree.notes, *note_on_masks(sorted(masks))]
    return labelled


def _by_named_table(
    tree: Tree, table: LabelTable, images: Sequence[str], name: str, skip: bool, masks: frozenset[str]
) -> LabelledFiles:
    matched = match_rows(table, images, skip)
    if table.columns.classes:
        return files_of_table(table, matched, images, name, skip)
    if table.columns.split is None and table.columns.group is None:
        raise UserError(
            f"{table.shown}: no column names classes, splits or groups; its columns are {listed(table.header, 12)}; "
            f"call one class, or name it: --labels {table.shown}:COLUMN"
        )
    labelled = files_of_folders(tree, find_layout(tree, name), masks)
    labelled.notes += matched.notes
    everywhere = {one.file: one for files in labelled.parts.values() for one in files}
    rows = {file: row for file, row in matched.rows.items() if file in everywhere}
    groups, numbers = number_groups(table, rows, labelled.notes)
    placed = {one.file: part for part, files in labelled.parts.items() for one in files}
    if table.columns.split is not None:
        placed, split = split_rows(table, rows, skip, labelled.notes)
        labelled.split = labelled.split or split
    parts: dict[str, list[LabelledFile]] = {}
    for part in ("train", "val", "test"):
        files = sorted(
            one._replace(group=numbers.get(file, -1))
            for file, one in everywhere.items()
            if placed.get(file) == part
        )
        if files:
            parts[part] = files
    lacking = len(everywhere) - sum(map(len, parts.values()))
    if lacking:
        labelled.notes.append(f"{table.shown}: {lacking} images without a split left out")
    if "train" not in parts:
        raise UserError(f"{table.shown}: no image is in the split train")
    labelled.parts, labelled.groups = parts, groups
    return labelled


def _by_what_is_there(
    tree: Tree, images: Sequence[str], name: str, use_tables: bool, skip: bool, masks: frozenset[str]
) -> LabelledFiles:
    """Take the class folders, or the only table that fits."""
    fitting, others = tables_beside(tree, images) if use_tables and images else ([], [])
    with_classes = [table for table in fitting if table.columns.classes]
    try:
        layout = find_layout(tree, name)
    except UserError as error:
        if not with_classes:
            raise _with_hint(error, fitting, others, images) from None
        table = _only(with_classes, name)
        labelled = files_of_table(table, match_rows(table, images, skip), images, name, skip)
        labelled.notes.insert(0, f"the classes are those of {table.shown}, which lies beside the images")
        return labelled
    labelled = files_of_folders(tree, layout, masks)
    if len(with_classes) == 1 and (
        instead := _instead_of_folders(with_classes[0], labelled, layout, images, name, skip)
    ):
        return instead
    labelled.notes += _on_groups(fitting, labelled)
    return labelled


def _only(tables: Sequence[LabelTable], name: str) -> LabelTable:
    table = tables[0] if len(tables) == 1 else joined_tables(tables)
    if table is None:
        names = listed([table.shown for table in tables], 5)
        raise UserError(f"{name}: several tables name the images, {names}; choose one with --labels TABLE")
    return table


def _with_hint(
    error: UserError, fitting: Sequence[LabelTable], others: Sequence[LabelTable], images: Sequence[str]
) -> UserError:
    """Add to the error of a tree without class folders why the tables in it do not help."""
    if fitting:
        table = fitting[0]
        return UserError(
            f"{error}; {table.shown} has no column of classes, only {listed(table.header, 12)}: call one class, or "
            f"name it: --labels {table.shown}:COLUMN"
        )
    if others and others[0].rows:
        table = others[0]
        return UserError(
            f"{error}; {table.shown} names none of the images: it has {listed([table.rows[0].file])}, and an image is "
            f"{listed([images[0]])}"
        )
    return error


def _instead_of_folders(
    table: LabelTable, labelled: LabelledFiles, layout: Layout, images: Sequence[str], name: str, skip: bool
) -> LabelledFiles | None:
    """Return the files by the table if the folders are plainly no classes of it, such as ``images`` and ``masks``."""
    try:
        matched = match_rows(table, images, skip)
        by_table = files_of_table(table, matched, images, name, skip)
    except UserError:
        return None
    told = {file: row.label for file, row in matched.rows.items() if row.label}
    folders = {one.file: labelled.classes[one.label] for files in labelled.parts.values() for one in files}
    if folders_by_files(told, folders):
        return None
    if set(by_table.classes) & set(layout.classes) or len(told) < ALMOST_ALL * len(images):
        labelled.notes.append(
            f"the classes are the folders; {table.shown} has others for {len(told)} images: to use these, add "
            f"--labels {table.shown}"
        )
        return None
    by_table.notes.insert(
        0,
        f"the classes are those of {table.shown}, which lies beside the images, and not the folders "
        f"{listed(layout.classes, 3)}; for these, add --labels {NONE}",
    )
    return by_table


def _on_groups(fitting: Sequence[LabelTable], labelled: LabelledFiles) -> list[str]:
    """Return a note if a table knows groups that the drawn splits will not keep together."""
    if "test" in labelled.parts and "val" in labelled.parts:
        return []
    for table in fitting:
        groups = {row.group for row in table.rows if row.group}
        if table.columns.group is not None and 1 < len(groups) < len(table.rows):
            return [
                f"{table.shown} has a column {table.column('group')}: to keep images of one together in the splits "
                f"that are drawn, add --labels {table.shown}"
            ]
    return []
