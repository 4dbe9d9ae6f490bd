"""Binary attributes of images, read from a table: CelebA's format, or a CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resemblance.config.errors import UserError
from resemblance.data.matching import match_names
from resemblance.data.sources.source import Source
from resemblance.data.text import one_line, reason

VALUES = {"1": 1, "0": 0, "-1": -1, "true": 1, "false": 0}
UNKNOWN = 2
DELIMITERS = ",;\t"
NUMBERED = re.compile(r".* #(\d+)")  # the name of an image of an array
LARGEST = 1 << 30  # bytes; CelebA's table has 26 MB

Row = tuple[int, list[str]]  # its line in the file, from 1, and its fields


@dataclass(frozen=True)
class AttributeTable:
    """Binary attributes of images.

    Args:
        names: A names.
        images: N images: paths, names or numbers.
        values: (N, A) bool.
        shown: the name of the file, for messages.

    Example:
        >>> from resemblance.data.sources.source import ArraySource
        >>> table = AttributeTable(("hole",), ("1", "0"), np.array([[True], [False]]), "holes.csv")
        >>> table.of(ArraySource(np.zeros((2, 8, 8, 1), np.uint8), [0, 1], ["cat", "dog"])).tolist()
        [[False], [True]]
    """

    names: tuple[str, ...]
    images: tuple[str, ...]
    values: NDArray[np.bool_]
    shown: str = "table"

    def of(self, source: Source) -> NDArray[np.bool_]:
        """Return the attributes of a source's images, (len(source), A), in their order.

        A row belongs to the image whose path it names, whole or from some folder on (see `match_names`), or, where the
        images are of arrays, to the image of its number in the file of the data. Rows for other images are ignored.

        Raises:
            UserError: if an image has no row or several, or two images have the same row.
        """
        names = [source.name(index) for index in range(len(source))]
        numbered = all(map(str.isdecimal, self.images)) and all(map(NUMBERED.fullmatch, names))
        if numbered:
            places = {int(row): place for place, row in enumerate(self.images)}
            rows = [places.get(int(name.rpartition("#")[2])) for name in names]
        else:
            rows = match_names(source, self.images, self.shown, "row").rows
        missing = [name for name, row in zip(names, rows, strict=True) if row is None]
        if missing:
            raise UserError(
                f"{self.shown}: no row for {len(missing)} of {len(names)} images, for instance '{missing[0]}'; its "
                f"rows are named like '{self.images[0]}'; add the missing rows, or name images as the data does"
            )
        return self.values[np.array(rows, dtype=np.int64)]


def read_attributes(path: Path | str) -> AttributeTable:
    """Read a table of binary attributes.

    Two formats. CelebA's ``list_attr_celeba.txt``: the number of images, a line with the names of the attributes, then
    lines of an image's file name and −1 or 1 for each attribute, with spaces between. And a table with a header, with
    commas, semicolons, tabs or spaces: the first column has the image's path, name or number, the others 0 or 1, −1 or
    1, ``true`` or ``false``.

    Args:
        path: the file.

    Raises:
        UserError: if it cannot be read, or a line does not fit; the message names the line.

    Example:
        >>> from tempfile import mkdtemp
        >>> file = Path(mkdtemp()) / "list_attr_celeba.txt"
        >>> _ = file.write_text("2\\nSmiling Male\\n000001.jpg  1 -1\\n000002.jpg -1 -1\\n")
        >>> table = read_attributes(file)
        >>> table.names, table.images, table.values.tolist()
        (('Smiling', 'Male'), ('000001.jpg', '000002.jpg'), [[True, False], [False, False]])
    """
    shown = one_line(path)
    rows = _rows(_text(Path(path), shown), shown)
    first = next(rows, None)
    count = None
    if first is not None and len(first[1]) == 1 and first[1][0].isdecimal():
        count, first = int(first[1][0]), next(rows, None)
    if first is None:
        raise UserError(
            f"{shown}: no table of attributes; expected a line with their names, then a line per image"
        )
    return _table(first, list(rows), count, shown)


def _text(path: Path, shown: str) -> str:
    try:
        with path.expanduser().open("rb") as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise UserError(f"no such table of attributes: {shown}") from None
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{shown}: {reason(error)}") from None
    if len(content) > LARGEST:
        raise UserError(f"{shown}: over {LARGEST >> 20} MiB, too large for a table of attributes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{shown}: not text in UTF-8; save the table as a CSV in UTF-8") from None


def _rows(text: str, shown: str) -> Iterator[Row]:
    """Yield lines that are not empty, split at the delimiter that the first one has, or at spaces."""
    head = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = next((mark for mark in DELIMITERS if mark in head), None)
    if delimiter is None:
        lines = enumerate(text.splitlines(), 1)
        yield from ((number, line.split()) for number, line in lines if line.strip())
        return
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        for row in reader:
            if any(field.strip() for field in row):
                yield reader.line_num, [field.strip() for field in row]
    except csv.Error as error:
        raise UserError(f"{shown}, line {reader.line_num}: {reason(error)}") from None


def _table(header: Row, rows: Sequence[Row], count: int | None, shown: str) -> AttributeTable:
    if not rows:
        raise UserError(
            f"{shown}: no images; expected a line with the attributes' names, then a line per image"
        )
    if count is not None and count != len(rows):
        raise UserError(f"{shown}: announces {count} images in its first line but has {len(rows)}; cut off?")
    # CelebA's header has no name for the column of the files.
    names = tuple(header[1] if len(rows[0][1]) == len(header[1]) + 1 else header[1][1:])
    _check_names(names, shown)
    lines: dict[str, int] = {}
    values = np.empty((len(rows), len(names)), np.int8)
    for place, (number, fields) in enumerate(rows):
        if len(fields) != len(names) + 1:
            expected = f"{len(names) + 1}: the image and a value for each attribute"
            raise UserError(f"{shown}, line {number}: {len(fields)} fields; expected {expected}")
        image = one_line(fields[0])
        if image in lines:
            raise UserError(
                f"{shown}, line {number}: image '{image}' is also in line {lines[image]}; remove one"
            )
        lines[image] = number
        numbers = [VALUES.get(field.lower(), UNKNOWN) for field in fields[1:]]
        if UNKNOWN in numbers:
            wrong = one_line(fields[1 + numbers.index(UNKNOWN)], 20)
            raise UserError(
                f"{shown}, line {number}: value '{wrong}'; expected 0 or 1, -1 or 1, true or false"
            )
        values[place] = numbers
    _check_absent(values, rows, shown)
    return AttributeTable(names, tuple(lines), values == 1, shown)


def _check_names(names: Sequence[str], shown: str) -> None:
    if not names:
        raise UserError(
            f"{shown}: no attributes; expected a column with the images, and one for each attribute"
        )
    for name in names:
        if not name or names.count(name) > 1:
            problem = f"two attributes are named '{one_line(name)}'" if name else "an attribute has no name"
            raise UserError(f"{shown}: {problem}; each column needs a name of its own in the header")


def _check_absent(values: NDArray[np.int8], rows: Sequence[Row], shown: str) -> None:
    """Refuse a table with both 0 and −1, in which one of them probably means unknown."""
    absent, zero = (values == -1).any(axis=1), (values == 0).any(axis=1)
    if absent.any() and zero.any():
        lines = rows[int(zero.argmax())][0], rows[int(absent.argmax())][0]
        raise UserError(
            f"{shown}: has 0 (line {lines[0]}) as well as -1 (line {lines[1]}); use one of them for absent attributes"
        )
