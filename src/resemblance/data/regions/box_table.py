"""Boxes from a CSV file, one row per box."""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from pathlib import Path

import numpy as np

from resemblance.config.errors import UserError
from resemblance.data.matching import match_names
from resemblance.data.regions.reader import TableReader
from resemblance.data.sources.source import Source
from resemblance.data.text import one_line, reason

SIDES = ("x0", "y0", "x1", "y1")
NAME_COLUMNS = ("file", "path", "image", "name")
MAX_FILE = 1 << 28  # bytes
SLACK = 1.0  # pixels that a box may reach beyond its image, by rounding


def read_boxes(source: Source, path: Path, *, name: str = "box") -> TableReader:
    """Read boxes from a CSV file with the columns ``file``, ``x0``, ``y0``, ``x1``, ``y1`` and, if any, ``part``.

    Coordinates are pixels of the image file, right and lower edge exclusive. An image can have several rows; without
    the column ``part``, all boxes belong to one part. Other columns are ignored.

    Args:
        source: the images; boxes match them by path, see `match_names`.
        path: the file; its column of names can also be called path, image or name.
        name: the name of the part, if the file has no column ``part``.

    Raises:
        UserError: for a file that cannot be read, a missing column, a row that is not a box within its image, or if no
            row fits an image.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.data.sources.source import ArraySource
        >>> import tempfile
        >>> source = ArraySource(np.zeros((1, 8, 8, 1), np.uint8), [0], ["cat"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "heads.csv"
        ...     _ = path.write_text("file,x0,y0,x1,y1\\nimage #0.png,2,0,6,4\\n")
        ...     reader = read_boxes(source, path, name="head")
        >>> reader.batch([0], ImageSpec(4, 4, 1, (0.5,), (0.5,))).boxes.tolist()
        [[[1.0, 0.0, 3.0, 2.0]]]
    """
    shown = one_line(path)
    rows = _rows(path)
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    named = [header.index(column) for column in NAME_COLUMNS if column in header]
    absent = [side for side in SIDES if side not in header]
    if not named or absent:
        raise UserError(
            f"{shown}: expected the columns file, x0, y0, x1, y1 (and part, if there are several), not "
            f"{one_line(', '.join(header) or 'none', 80)}"
        )
    places = [header.index(side) for side in SIDES]
    part_column = header.index("part") if "part" in header else None
    boxes: defaultdict[str, list[tuple[str, tuple[float, ...], int]]] = defaultdict(list)
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise UserError(f"{shown}: row {number} has {len(row)} cells, not {len(header)}")
        part = name if part_column is None else row[part_column].strip()
        boxes[row[named[0]]].append((part, _box([row[place] for place in places], shown, number), number))
    names = list(boxes)
    matches = match_names(source, names, str(path), "box")
    parts = sorted({part for rows_of in boxes.values() for part, _, _ in rows_of})
    most = {part: max(sum(p == part for p, _, _ in rows_of) for rows_of in boxes.values()) for part in parts}
    starts = dict(zip(parts, np.cumsum([0, *most.values()])[:-1].tolist(), strict=True))
    columns = sum(most.values())
    values = np.zeros((len(source), columns, 4))
    visible = np.zeros((len(source), columns), dtype=bool)
    for index, match in enumerate(matches.rows):
        if match is None:
            continue
        height, width = (int(side) for side in source.shapes[index, :2])
        for part, box, number in boxes[names[match]]:
            if min(box[:2]) < -SLACK or box[2] > width + SLACK or box[3] > height + SLACK:
                raise UserError(
                    f"{shown}: row {number}: the box {', '.join(f'{side:g}' for side in box)} does not lie within "
                    f"its image {one_line(source.name(index))} of {width}x{height} pixels"
                )
            column = starts[part] + int(visible[index, starts[part] : starts[part] + most[part]].sum())
            values[index, column], visible[index, column] = box, True
    numbers = [number for number, part in enumerate(parts) for _ in range(most[part])]
    return TableReader(source, values, visible, numbers, tuple(parts), matches.missing, matches.notes)


def _rows(path: Path) -> list[list[str]]:
    try:
        if path.stat().st_size > MAX_FILE:
            raise UserError(f"{one_line(path)}: over {MAX_FILE >> 20} MiB; refused")
        text = path.read_bytes().decode("utf-8-sig")
        return [row for row in csv.reader(io.StringIO(text), strict=True) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{one_line(path)}: not a readable CSV file of boxes ({reason(error)})") from None


def _box(cells: list[str], shown: str, number: int) -> tuple[float, ...]:
    try:
        box = tuple(float(cell) for cell in cells)
    except ValueError:
        box = (math.nan,) * 4
    if not all(map(math.isfinite, box)) or box[2] <= box[0] or box[3] <= box[1]:
        raise UserError(
            f"{shown}: row {number}: {one_line(', '.join(cells), 60)} is not a box x0, y0, x1, y1 with x0 < x1 and "
            "y0 < y1"
        )
    return box
