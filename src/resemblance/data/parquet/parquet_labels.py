"""Images in Parquet files, as the Hugging Face Hub has them: a column of encoded images, and one of classes.

A column of images is a struct of ``bytes`` and ``path``, or binary.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from resemblance.config.errors import UserError
from resemblance.data.labels.columns import CLASS, GROUP, simplified
from resemblance.data.parquet.parquet_tree import ParquetTree, Place, open_parquet
from resemblance.data.sources.labelled_files import LabelledFile, LabelledFiles
from resemblance.data.sources.layout import PARTS, split_named
from resemblance.data.sources.tree import Folder
from resemblance.data.text import composed, listed, one_line, reason

SUFFIX = ".parquet"
IMAGES = "image", "img", "picture", "photo", "pixelvalues"
FEW_CLASSES = 20  # below, a column is never taken for one of measurements


def parquet_files(folder: Folder) -> list[str]:
    """Return the Parquet files of a folder."""
    return [name for name in folder.names if name.lower().endswith(SUFFIX)]


def label_parquet(folder: Folder, name: str, labels: str | None) -> tuple[ParquetTree, LabelledFiles]:
    """Return the images of the Parquet files in a folder, with their classes, splits and groups.

    The split of a file is in its name (``train-00000-of-00002.parquet``) or in that of its folder.

    Args:
        folder: the folder.
        name: the name of the data in messages.
        labels: the column of classes; None to find it.

    Raises:
        UserError: without pyarrow, and for files without a column of images or of classes.
    """
    files = parquet_files(folder)
    splits = {file: _split_of(file) for file in files}
    notes = []
    if any(splits.values()):
        others = [file for file in files if not splits[file]]
        if others:
            notes.append(f"Parquet files of other splits left out: {listed(others, 5)}")
        files = [file for file in files if splits[file]]
    first = open_parquet(folder.root / files[0])
    features = _features(first)
    column, nested = _image_column(first, features, name)
    label = _label_column(first, features, name, labels, column)
    group = next(
        (one for wanted in GROUP for one in first.schema_arrow.names if simplified(one) == wanted), None
    )
    tree = ParquetTree(folder.root, files, column, nested)
    rows = _rows(tree, label, group, splits)
    known = features.get(label, {}).get("names") or []
    texts = [_class(row.label, known) for row in rows]
    unlabelled = sum(text is None for text in texts)
    if unlabelled:
        notes.append(f"{unlabelled} images without a class left out")
    classes = _class_names([text for text in texts if text is not None], known)
    if len(classes) < 2:
        raise UserError(f"{name}: expected two or more classes in {one_line(label)}, found {listed(classes)}")
    if len(classes) > max(FEW_CLASSES, len(rows) / 2):
        raise UserError(
            f"{name}: the column {one_line(label)} has {len(classes)} values for {len(rows)} images, too many for "
            "classes; name another one with --labels COLUMN"
        )
    numbers = {text: number for number, text in enumerate(classes)}
    groups = sorted({row.group for row in rows if row.group})
    groups = [] if len(groups) == len(rows) else groups
    group_numbers = {text: number for number, text in enumerate(groups)}
    if groups:
        notes.append(
            f"images of one {one_line(group)} stay together in the splits that are drawn ({len(groups)} groups)"
        )
    parts: dict[str, list[LabelledFile]] = {}
    for row, text in zip(rows, texts, strict=True):
        tree.places[row.name] = row.place
        if text is not None:
            entry = LabelledFile(numbers[text], row.name, group_numbers.get(row.group, -1))
            parts.setdefault(row.part, []).append(entry)
    if "train" not in parts:
        raise UserError(f"{name}: has no labelled training images, only {listed(sorted(parts))}")
    ordered = {part: sorted(parts[part]) for part in PARTS if part in parts}
    return tree, LabelledFiles(classes, ordered, len(ordered) > 1, False, groups, notes)


class _ParquetRow(NamedTuple):
    """A row: the name of its image, its place, its split, its class as the file has it, and its group."""

    name: str
    place: Place
    part: str
    label: Any
    group: str


def _split_of(file: str) -> str:
    *folders, name = file.split("/")
    word = re.match("[A-Za-z]+", name.rpartition(".")[0])
    return (split_named(word[0]) if word else "") or next(
        filter(None, map(split_named, reversed(folders))), ""
    )


def _features(file: Any) -> dict[str, dict[str, Any]]:
    """Return the features that the Hub's library writes into the schema; empty if there are none."""
    try:
        metadata = json.loads((file.schema_arrow.metadata or {})[b"huggingface"])
        features = metadata["info"]["features"]
        return {str(name): value for name, value in features.items() if isinstance(value, dict)}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _image_column(file: Any, features: dict[str, dict[str, Any]], name: str) -> tuple[str, bool]:
    """Return the column of images, and whether it is a struct."""
    import pyarrow as pa

    schema = file.schema_arrow
    nested = {
        one.name: pa.types.is_struct(one.type) and one.type.get_field_index("bytes") >= 0
        for one in schema
        if pa.types.is_binary(one.type) or pa.types.is_large_binary(one.type) or pa.types.is_struct(one.type)
    }
    named = [one for one in nested if features.get(one, {}).get("_type") == "Image"]
    binary = [one for one in nested if nested[one] or not pa.types.is_struct(schema.field(one).type)]
    candidates = named or [one for one in binary if simplified(one) in IMAGES] or binary
    if not candidates:
        raise UserError(f"{name}: no column has images; the columns are {listed(schema.names, 12)}")
    return candidates[0], nested[candidates[0]]


def _label_column(
    file: Any, features: dict[str, dict[str, Any]], name: str, labels: str | None, image: str
) -> str:
    import pyarrow as pa

    schema = file.schema_arrow
    columns = [one for one in schema.names if one != image]
    if labels is not None:
        if labels not in columns:
            raise UserError(
                f"{name}: has no column {one_line(labels)!r}; its columns are {listed(columns, 12)}"
            )
        column = labels
    else:
        named = [one for one in columns if features.get(one, {}).get("_type") == "ClassLabel"]
        usual = [one for wanted in CLASS for one in columns if simplified(one) == wanted]
        candidates = [one for one in usual if one in named] or (named if len(named) == 1 else []) or usual
        if not candidates:
            several = listed(named or columns, 12)
            raise UserError(f"{name}: which column has the classes? --labels COLUMN, one of {several}")
        column = candidates[0]
    kind = schema.field(column).type
    if not (pa.types.is_integer(kind) or pa.types.is_boolean(kind) or _is_text(kind)):
        raise UserError(
            f"{name}: the column {one_line(column)} holds {kind}; classes are texts or whole numbers"
        )
    return column


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or (pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type))
    )


def _rows(tree: ParquetTree, label: str, group: str | None, splits: dict[str, str]) -> list[_ParquetRow]:
    """Read everything but the images."""
    rows: list[_ParquetRow] = []
    counts: Counter[str] = Counter()
    for number, path in enumerate(tree.paths):
        file, shown = tree.parquet_file(number), one_line(tree.root / path)
        wanted = [label, *([f"{tree.column}.path"] if tree.nested else []), *([group] if group else [])]
        try:
            table = file.read(columns=wanted)
            labels = table[label].to_pylist()
            groups = [""] * len(labels) if group is None else [_text(one) for one in table[group].to_pylist()]
            names = [None] * len(labels)
            if tree.nested:
                names = [(one or {}).get("path") for one in table[tree.column].to_pylist()]
        except Exception as error:  # of pyarrow, also for files with other columns
            raise UserError(f"{shown}: unlike the first file, or damaged ({reason(error)})") from None
        part = splits[path] or "train"
        places = [
            Place(number, one, row)
            for one in range(file.metadata.num_row_groups)
            for row in range(file.metadata.row_group(one).num_rows)
        ]
        if not len(places) == len(labels) == len(groups) == len(names):
            raise UserError(f"{shown}: damaged: its columns differ in length")
        for place, text, grouped, image in zip(places, labels, groups, names, strict=True):
            name = f"{part}/{_file_name(image) or f'{counts[part]:07d}'}"
            counts[part] += 1
            rows.append(_ParquetRow(name, place, part, text, grouped))
    named = Counter(row.name for row in rows)
    numbered = enumerate(rows)
    return [row if named[row.name] == 1 else row._replace(name=f"{row.name}#{n}") for n, row in numbered]


def _file_name(path: Any) -> str:
    return composed(path).replace("\\", "/").rpartition("/")[2] if isinstance(path, str) else ""


def _text(value: Any) -> str:
    return "" if value is None else composed(str(value)).strip()


def _class(value: Any, known: Sequence[str]) -> str | None:
    """Return the class of a value: its name, if the numbers of classes have names; None for no class."""
    if value is None or value == "" or (isinstance(value, int) and not isinstance(value, bool) and value < 0):
        return None
    if known and isinstance(value, int):
        return str(known[value]) if value < len(known) else str(value)
    return _text(value)


def _class_names(present: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the classes in the order of the file, else of their numbers, else of the alphabet."""
    there = set(present)
    if known and there <= set(known):
        return [str(one) for one in dict.fromkeys(known) if one in there]
    if all(re.fullmatch(r"-?\d{1,9}", one) for one in there):
        return sorted(there, key=int)
    return sorted(there)
