"""Give image files the classes, splits and groups of a table."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from resemblance.config.errors import UserError
from resemblance.data.labels.file_names import FileNames
from resemblance.data.labels.label_table import LabelTable, Row
from resemblance.data.sources.labelled_files import LabelledFile, LabelledFiles
from resemblance.data.sources.layout import PARTS, split_named
from resemblance.data.text import listed, one_line
from resemblance.printing.characters import fits_a_line

SEVERAL = re.compile(r"[|;]")
FEW_CLASSES = 20  # below, a table is never taken for one of measurements


@dataclass
class MatchedRows:
    """The rows of tables by the image files that they name.

    Args:
        rows: file → its row.
        missing: names of the table for which there is no file.
        notes: messages about both.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def match_rows(table: LabelTable, files: Sequence[str], skip: bool) -> MatchedRows:
    """Find the file of each row of a table.

    Args:
        table: the table.
        files: the image files.
        skip: whether to leave out rows that contradict each other, instead of stopping.

    Raises:
        UserError: if a row fits several files, rows give a file different classes, or no row fits a file.
    """
    names, matched = FileNames(files), MatchedRows()
    contradicting: dict[str, None] = {}
    for row in table.rows:
        found = names.find(row.file) if row.file else []
        if len(found) > 1:
            raise UserError(
                f"{table.shown}: {one_line(row.file)} could be {listed(found, 3)}; name it with its folder"
            )
        if not found:
            matched.missing.append(row.file)
        elif matched.rows.setdefault(found[0], row)[1:] != row[1:]:
            contradicting[found[0]] = None
    if not files:
        raise UserError(f"{table.shown}: there are no images that it could label")
    if not matched.rows:
        example = f" (such as {one_line(table.rows[0].file)})" if table.rows else ""
        raise UserError(
            f"{table.shown}: none of its {len(table.rows)} names{example} is that of one of the {len(files)} images "
            f"(such as {one_line(files[0])})"
        )
    if contradicting:
        shown = listed(list(contradicting), 3)
        if not skip:
            raise UserError(
                f"{table.shown}: several rows with different classes, splits or groups for {_images(contradicting)}: "
                f"{shown}; correct them, or leave these images out with --skip-bad-images"
            )
        matched.notes.append(
            f"{table.shown}: {_images(contradicting)} with contradicting rows left out: {shown}"
        )
        for file in contradicting:
            del matched.rows[file]
    if matched.missing:
        count = len(matched.missing)
        matched.notes.append(
            f"{table.shown}: {count} of {len(table.rows)} rows name{'s' if count == 1 else ''} no file that is there: "
            f"{listed(matched.missing, 3)}"
        )
    return matched


def files_of_table(
    table: LabelTable, matched: MatchedRows, files: Sequence[str], name: str, skip: bool
) -> LabelledFiles:
    """Return the files of each split with the classes of a table.

    The splits are those of the table, else the folders ``train``, ``val`` and ``test`` above the files, if several of
    them hold labelled images.

    Args:
        table: the table.
        matched: its rows by file.
        files: the image files.
        name: the name of the data in messages.
        skip: whether to leave out images whose rows cannot be used, instead of stopping.

    Raises:
        UserError: for a column that cannot be one of classes, and, unless these are skipped, for unknown splits and
            several classes of one image.
    """
    notes = list(matched.notes)
    rows = _single_labels(table, _with_labels(table, matched.rows, files, notes), skip, notes)
    classes = _classes(table, [row.label for row in rows.values()], name)
    numbers = {name_of_class: label for label, name_of_class in enumerate(classes)}
    placed, split = split_rows(table, rows, skip, notes)
    groups, group_of = number_groups(table, rows, notes)
    parts: dict[str, list[LabelledFile]] = {part: [] for part in dict.fromkeys(placed.values())}
    for file, part in placed.items():
        parts[part].append(LabelledFile(numbers[plain_label(rows[file].label)], file, group_of.get(file, -1)))
    if "train" not in parts:
        raise UserError(f"{table.shown}: no image is in the split train, only in {listed(sorted(parts))}")
    ordered = {part: sorted(parts[part]) for part in PARTS if part in parts}
    return LabelledFiles(classes, ordered, split, False, groups, notes)


def split_rows(
    table: LabelTable, rows: dict[str, Row], skip: bool, notes: list[str]
) -> tuple[dict[str, str], bool]:
    """Return the split of each file, and whether the data has splits; the note names the column.

    Raises:
        UserError: for words that mean no split, unless these are skipped.
    """
    if table.columns.split is None or not any(row.split for row in rows.values()):
        return _by_folders(rows)
    column = table.column("split")
    placed = {file: split_named(row.split) for file, row in rows.items()}
    if not any(placed.values()) and simplified_fold(column):
        notes.append(
            f"{table.shown}: the column {column} names no splits train, val and test, and is ignored"
        )
        return _by_folders(rows)
    unknown = Counter(rows[file].split for file, part in placed.items() if not part)
    if unknown:
        words = listed([f"{word or '(empty)'} ({count})" for word, count in unknown.most_common()], 5)
        if not skip:
            raise UserError(
                f"{table.shown}: {_images(range(unknown.total()))} in splits of other names in the column {column}: "
                f"{words}; call them train, val or test, or leave them out with --skip-bad-images"
            )
        notes.append(f"{table.shown}: {_images(range(unknown.total()))} in other splits left out: {words}")
    return {file: part for file, part in placed.items() if part}, True


def simplified_fold(column: str) -> bool:
    """Check whether a column of splits can also be one of the numbers of folds."""
    return column.casefold() in ("fold", "set", "subset")


def number_groups(
    table: LabelTable, rows: dict[str, Row], notes: list[str]
) -> tuple[list[str], dict[str, int]]:
    """Return the names of the groups, and the number of each file's; without a column of groups, none."""
    named = {file: row.group for file, row in rows.items() if row.group}
    if not named:
        return [], {}
    groups = sorted(set(named.values()))
    if len(groups) == len(named) == len(rows):  # every image is a group of its own
        return [], {}
    numbers = {group: number for number, group in enumerate(groups)}
    lacking = len(rows) - len(named)
    more = f"; {_images(range(lacking))} without one" if lacking else ""
    notes.append(
        f"images of one {table.column('group')} stay together in the splits that are drawn ({len(groups)} groups{more})"
    )
    return groups, {file: numbers[group] for file, group in named.items()}


def _by_folders(rows: dict[str, Row]) -> tuple[dict[str, str], bool]:
    """Return the splits by the folders called train, val and test, if there are several of them."""
    placed = {}
    for file in rows:
        parts = [split_named(folder) for folder in file.split("/")[:-1]]
        placed[file] = next((part for part in parts if part), "")
    present = set(placed.values())
    if "" in present or len(present) < 2 or "train" not in present:
        return dict.fromkeys(rows, "train"), False
    return placed, True


def _with_labels(
    table: LabelTable, rows: dict[str, Row], files: Sequence[str], notes: list[str]
) -> dict[str, Row]:
    """Return the rows that have a class, with notes on the other images."""
    labelled = {file: row for file, row in rows.items() if row.label}
    without = [file for file in files if file not in labelled]
    if without:
        verb = "is" if len(without) == 1 else "are"
        notes.append(
            f"{table.shown}: {_images(without)} without a class {verb} left out: {listed(without, 3)}"
        )
    return labelled


def _single_labels(table: LabelTable, rows: dict[str, Row], skip: bool, notes: list[str]) -> dict[str, Row]:
    """Refuse or leave out images of several classes, such as ``Edema|Effusion`` where ``Edema`` is a class, too."""
    known = {row.label for row in rows.values()}
    several = [
        file
        for file, row in rows.items()
        if SEVERAL.search(row.label) and any(part.strip() in known for part in SEVERAL.split(row.label))
    ]
    if not several:
        return rows
    words = f"{_images(several)} with several classes, for instance {one_line(rows[several[0]].label)}"
    if not skip:
        raise UserError(
            f"{table.shown}: {words}; a classifier decides for one class: choose one per image, or leave these out "
            "with --skip-bad-images"
        )
    notes.append(f"{table.shown}: {words}, left out")
    gone = set(several)
    return {file: row for file, row in rows.items() if file not in gone}


def _classes(table: LabelTable, labels: Sequence[str], name: str) -> list[str]:
    """Return the classes in alphabetical order, or in that of their numbers."""
    counts = Counter(map(plain_label, labels))
    column = table.column("label") or "second"
    if len(counts) < 2:
        raise UserError(
            f"{name}: expected two or more classes in the column {column} of {table.shown}, found "
            f"{listed(list(counts)) or 'none'}"
        )
    for label in counts:
        if not fits_a_line(label):
            raise UserError(f"{table.shown}: the class {one_line(label)!r} cannot be printed; rename it")
    if len(counts) > max(FEW_CLASSES, len(labels) / 2):
        raise UserError(
            f"{table.shown}: the column {column} has {len(counts)} values for {len(labels)} images, too many for "
            f"classes; name another one: --labels {table.shown}:COLUMN"
        )
    if all(re.fullmatch(r"-?\d{1,9}", label) for label in counts):
        return sorted(counts, key=int)
    return sorted(counts)


def plain_label(label: str) -> str:
    """Return a class without the .0 that tables of numbers with gaps have.

    Example:
        >>> plain_label("3.0"), plain_label("v3.0")
        ('3', 'v3.0')
    """
    return re.sub(r"^(-?\d{1,9})\.0+$", r"\1", label)


def _images(files: Sequence[str] | range | dict[str, None] | list[str]) -> str:
    return "1 image" if len(files) == 1 else f"{len(files)} images"


def folders_by_files(labels: dict[str, str], folders: dict[str, str]) -> bool:
    """Check whether the classes of a table say the same as the folders of the files: one label per folder and back.

    Args:
        labels: file → class of the table.
        folders: file → class folder.
    """
    pairs = {(labels[file], folders[file]) for file in labels if file in folders}
    by_label: defaultdict[str, int] = defaultdict(int)
    by_folder: defaultdict[str, int] = defaultdict(int)
    for label, folder in pairs:
        by_label[label] += 1
        by_folder[folder] += 1
    return max([*by_label.values(), *by_folder.values()], default=1) == 1
