"""Which row of a table belongs to which image of a data source."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from resemblance.config.errors import UserError
from resemblance.data.images import SUFFIXES
from resemblance.data.sources.source import Source

Parts = tuple[str, ...]

NUMBERED = re.compile(r".* #(\d+)")  # the name of an image of an array


def rows_of(rows: Sequence[str], source: Source, shown: str) -> NDArray[np.int64]:
    """Return the row of each image of a source, (len(source),); see `AttributeTable.of`.

    Args:
        rows: the image that each row names.
        source: the images.
        shown: the name of the table, for messages.

    Raises:
        UserError: if an image has no row or several, or two images have the same row.

    Example:
        >>> from resemblance.data.sources.source import ArraySource
        >>> source = ArraySource(np.zeros((3, 8, 8, 1), np.uint8), [0, 1, 0], ["cat", "dog"], "train-images")
        >>> rows_of(["2", "1", "0"], source, "table.csv"), rows_of([source.name(i) for i in range(3)], source, "")
        (array([2, 1, 0]), array([0, 1, 2]))
    """
    names = [source.name(index) for index in range(len(source))]
    found = _by_name({row: number for number, row in enumerate(rows)}, names)
    if not any(row >= 0 for row in found):
        found = _by_number(rows, names) if _numbered(rows, names) else _by_path(rows, names, shown)
    _check(found, rows, names, shown)
    return np.array(found, dtype=np.int64)


def _by_name(rows: dict[str, int], names: Sequence[str]) -> list[int]:
    return [rows.get(name, -1) for name in names]


def _numbered(rows: Sequence[str], names: Sequence[str]) -> bool:
    return all(row.isdecimal() for row in rows) and all(NUMBERED.fullmatch(name) for name in names)


def _by_number(rows: Sequence[str], names: Sequence[str]) -> list[int]:
    numbers = {int(row): place for place, row in enumerate(rows)}
    return [numbers.get(int(name.rpartition("#")[2]), -1) for name in names]


def _by_path(rows: Sequence[str], names: Sequence[str], shown: str) -> list[int]:
    endings = any(row.lower().endswith(SUFFIXES) for row in rows)
    row_parts, image_parts = ([_parts(path, endings) for path in paths] for paths in (rows, names))
    candidates: dict[str, list[int]] = defaultdict(list)
    for number, parts in enumerate(row_parts):
        candidates[parts[0]].append(number)
    images = Counter(parts[0] for parts in image_parts)
    found = []
    for name, parts in zip(names, image_parts, strict=True):
        same_file = candidates[parts[0]]
        same_path = [number for number in same_file if _agree(row_parts[number], parts)]
        if len(same_path) > 1:
            exact = [number for number in same_path if row_parts[number] == parts]
            if len(exact) != 1:
                one, other = (rows[number] for number in same_path[:2])
                raise UserError(
                    f"{shown}: image '{name}' fits the row '{one}' and the row '{other}'; write its whole path"
                )
            same_path = exact
        if not same_path and len(same_file) == 1 and images[parts[0]] == 1:
            same_path = same_file
        found.append(same_path[0] if same_path else -1)
    return found


def _parts(path: str, endings: bool) -> Parts:
    """Return file name and folders of a path, from the file upwards."""
    parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")] or [path]
    if not endings and parts[-1].lower().endswith(SUFFIXES):
        parts[-1] = parts[-1].rpartition(".")[0]
    return tuple(reversed(parts))


def _agree(one: Parts, other: Parts) -> bool:
    """Return whether one path is the end of the other."""
    length = min(len(one), len(other))
    return one[:length] == other[:length]


def _check(found: Sequence[int], rows: Sequence[str], names: Sequence[str], shown: str) -> None:
    missing = [name for name, row in zip(names, found, strict=True) if row < 0]
    if missing:
        images = f"{len(missing)} of {len(names)} images"
        raise UserError(
            f"{shown}: no row for {images}, for instance '{missing[0]}'; its rows are named like '{rows[0]}'; add the "
            "missing rows, or name images as the data does"
        )
    first: dict[int, str] = {}
    for name, row in zip(names, found, strict=True):
        if row in first:
            raise UserError(
                f"{shown}: the row '{rows[row]}' fits the images '{first[row]}' and '{name}'; write whole paths"
            )
        first[row] = name
