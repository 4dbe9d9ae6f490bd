"""The images of Parquet files by name; pyarrow is imported only when there are such files."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from resemblance.config.errors import UserError
from resemblance.data.sources.tree import MAX_FILE, Tree
from resemblance.data.text import one_line, reason

INSTALL = "pip install 'resemblance[parquet]'"
CACHED = 1 << 30  # bytes of row groups that are kept
LARGEST_GROUP = 4 << 30  # bytes of an unpacked row group


class Place(NamedTuple):
    """Where an image lies: the number of its file, of the row group in it, and of the row in that."""

    file: int
    group: int
    row: int


class ParquetTree(Tree):
    """The images of Parquet files, as files by name.

    Args:
        root: the folder of the Parquet files.
        files: their paths in it.
        column: the column of images.
        nested: whether it is a struct of bytes and path.
    """

    def __init__(self, root: Path, files: Sequence[str], column: str, nested: bool) -> None:
        self.root, self.paths, self.column, self.nested = root, list(files), column, nested
        self.places: dict[str, Place] = {}
        self.folders = set()
        self._opened: dict[int, Any] = {}
        self._groups: OrderedDict[tuple[int, int], Any] = OrderedDict()
        self._process, self._lock = os.getpid(), threading.Lock()

    @cached_property
    def names(self) -> list[str]:  # type: ignore[override]
        """The names of the images."""
        return sorted(self.places)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_opened": {}, "_groups": OrderedDict(), "_lock": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def read(self, name: str) -> bytes:
        """Return the encoded image."""
        place = self.places[name]
        value = self._row_group(place.file, place.group)[place.row].as_py()
        if not isinstance(value, bytes):
            raise UserError(f"{self.shown(name)}: the file has no image there, only its path")
        if len(value) > MAX_FILE:
            raise UserError(f"{self.shown(name)}: over {MAX_FILE >> 20} MiB; refused")
        return value

    def shown(self, name: str) -> str:
        """Return the Parquet file and the name in it."""
        place = self.places.get(name)
        file = self.root if place is None else self.root / self.paths[place.file]
        return one_line(f"{file}:{name}")

    def stamp(self, name: str) -> str:
        """Return the size and time of the Parquet file, and the place in it."""
        place = self.places[name]
        status = (self.root / self.paths[place.file]).stat()
        return f"{status.st_size} {status.st_mtime_ns} {place.group} {place.row}"

    def parquet_file(self, number: int) -> Any:
        """Return an opened Parquet file.

        Raises:
            UserError: if it is damaged, or pyarrow is not installed.
        """
        if self._process != os.getpid():  # after a fork, files must not be shared
            self._opened, self._groups, self._lock = {}, OrderedDict(), threading.Lock()
            self._process = os.getpid()
        if number not in self._opened:
            self._opened[number] = open_parquet(self.root / self.paths[number])
        return self._opened[number]

    def _row_group(self, number: int, group: int) -> Any:
        """Return the bytes of the images of a row group; the last ones are kept, as far as memory allows."""
        file = self.parquet_file(number)
        with self._lock:
            key = number, group
            if key in self._groups:
                self._groups.move_to_end(key)
                return self._groups[key]
            shown = one_line(self.root / self.paths[number])
            if file.metadata.row_group(group).total_byte_size > LARGEST_GROUP:
                raise UserError(f"{shown}: a row group unpacks to over {LARGEST_GROUP >> 30} GiB; refused")
            try:
                wanted = f"{self.column}.bytes" if self.nested else self.column
                column = file.read_row_group(group, columns=[wanted])[self.column].combine_chunks()
            except Exception as error:  # of pyarrow, for damaged pages
                raise UserError(f"{shown}: damaged or cut off ({reason(error)})") from None
            if len(column) != file.metadata.row_group(group).num_rows:
                raise UserError(f"{shown}: damaged: a row group has {len(column)} rows, and says otherwise")
            self._groups[key] = column.field("bytes") if self.nested else column
            while len(self._groups) > 1 and sum(one.nbytes for one in self._groups.values()) > CACHED:
                self._groups.popitem(last=False)
            return self._groups[key]


def open_parquet(path: Path) -> Any:
    """Open a Parquet file.

    Raises:
        UserError: without pyarrow, or for a damaged file.
    """
    try:
        import pyarrow.parquet
    except ImportError:
        raise UserError(f"{one_line(path)}: a Parquet file; {INSTALL}") from None
    try:
        return pyarrow.parquet.ParquetFile(path)
    except Exception as error:  # of pyarrow and of the system
        raise UserError(f"{one_line(path)}: not a readable Parquet file ({reason(error)})") from None
