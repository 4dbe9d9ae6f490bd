"""Read tables of labels: CSV with commas, semicolons or tabs, and JSON lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import NamedTuple

from resemblance.config.errors import UserError
from resemblance.data.images import SUFFIXES
from resemblance.data.labels.columns import CLASS, FILE, Columns, as_bit, find_columns
from resemblance.data.text import composed, listed, one_line, reason

SUFFIXES_OF_TABLES = (".csv", ".tsv", ".jsonl")  # of those that are found by themselves
SHEETS = (".xlsx", ".xls", ".ods", ".numbers")
DELIMITERS = ",", ";", "\t", "|"
LOOKED_AT = 2000  # rows by which columns of 0 and 1 are recognised


class Row(NamedTuple):
    """A row of a table: the texts of its cells, empty where a column is missing."""

    file: str
    label: str
    split: str
    group: str


class LabelTable(NamedTuple):
    """A table of labels.

    Args:
        shown: its name in messages.
        rows: its rows.
        columns: which columns were found.
        header: the names of all columns.
    """

    shown: str
    rows: list[Row]
    columns: Columns
    header: list[str]

    def column(self, kind: str) -> str:
        """Return the name of the column of a kind: file, label, split or group."""
        number = getattr(self.columns, kind)
        return "" if number is None or not self.header else one_line(self.header[number])


def read_table(data: bytes, shown: str, label: str | None = None) -> LabelTable:
    r"""Read a table.

    Args:
        data: the file.
        shown: its name in messages.
        label: the name of the column of classes, if it is known.

    Raises:
        UserError: if it cannot be read, or has no column of files; the message has the names of its columns.

    Example:
        >>> table = read_table(b"\xef\xbb\xbfimage;class\n1.png;cat\n", "labels.csv")
        >>> table.rows
        [Row(file='1.png', label='cat', split='', group='')]
    """
    if shown.lower().endswith(SHEETS) or data.startswith(b"PK\x03\x04"):
        raise UserError(f"{shown}: a spreadsheet; save it as CSV")
    text = _decoded(data, shown)
    lines = _json_lines(text, shown) if text.lstrip().startswith("{") else _cells(text, shown)
    lines = [
        [composed(cell).strip() for cell in line] for line in lines if any(cell.strip() for cell in line)
    ]
    if not lines:
        raise UserError(f"{shown}: an empty table; expected a line of column names, such as file,class")
    if _has_no_header(lines):
        header, columns = [], Columns(0, 1, None, None)
    else:
        header, *lines = lines
        columns = find_columns(header, lines[:LOOKED_AT], label)
    if label is not None and columns.label is None:
        raise UserError(f"{shown}: has no column {one_line(label)!r}; its columns are {listed(header, 12)}")
    if columns.file is None:
        raise UserError(
            f"{shown}: no column names the files; its columns are {listed(header, 12)}; call one {FILE[1]}, and the "
            f"one of the classes {CLASS[0]}"
        )
    return LabelTable(shown, [_row(line, columns, header) for line in lines], columns, header)


def _decoded(data: bytes, shown: str) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings: Sequence[str] = ("utf-16",)
    else:
        encodings = ("utf-8-sig", "cp1252", "latin-1")
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise UserError(f"{shown}: not a table of text")


def _cells(text: str, shown: str) -> list[list[str]]:
    first, _, rest = text.lstrip("\r\n").partition("\n")
    if first.strip().lower().startswith("sep=") and len(first.strip()) == 5:  # of Excel
        delimiter, text = first.strip()[4], rest
    else:
        delimiter = max(DELIMITERS, key=first.count)
        if not first.count(delimiter):  # two words and no more: a list of files and classes
            delimiter = " "
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True))
    except csv.Error as error:
        raise UserError(f"{shown}: not a readable table ({reason(error)})") from None


def _json_lines(text: str, shown: str) -> list[list[str]]:
    """Return the header and the cells of objects of one line each."""
    objects = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if not isinstance(entry, dict):
            raise UserError(f"{shown}: line {number} is not a JSON object")
        objects.append(entry)
    header = list(dict.fromkeys(str(key) for entry in objects for key in entry))
    return [header, *([_text(entry.get(key)) for key in header] for entry in objects)]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return "" if value is None else str(value)


def _has_no_header(lines: Sequence[Sequence[str]]) -> bool:
    """Check whether the first line is a file and its class already."""
    first = lines[0]
    return len(first) == 2 and first[0].lower().endswith(SUFFIXES)


def _row(line: Sequence[str], columns: Columns, header: Sequence[str]) -> Row:
    def cell(number: int | None) -> str:
        return line[number] if number is not None and number < len(line) else ""

    label = cell(columns.label)
    if columns.one_hot:
        ones = [number for number in columns.one_hot if as_bit(cell(number)) == 1]
        label = header[ones[0]] if len(ones) == 1 else "|".join(header[number] for number in ones)
    return Row(cell(columns.file), label, cell(columns.split), cell(columns.group))
