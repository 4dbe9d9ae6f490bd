"""Embeddings of a whole training set: in memory if they fit, otherwise in a temporary file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray

from resemblance.config.errors import UserError

BUDGET = 2 << 30  # bytes
Vectors = NDArray[np.float32]
Integers = NDArray[np.int64]


class Embeddings:
    """Rows (N, E) with their labels and image indices, appended batch by batch.

    Use it in a ``with`` block, whose end deletes the file, if there is one.

    Args:
        budget: bytes to keep in memory; more rows are moved to a temporary file, which is mapped into memory.

    Example:
        >>> with Embeddings() as store:
        ...     store.append(np.ones((2, 3), np.float32), np.array([0, 1]), np.array([0, 1]))
        ...     len(store), store.read(np.array([1])).shape, store.on_disk
        (2, (1, 3), False)
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self.budget = budget
        self._labels: list[Integers] = []
        self._indices: list[Integers] = []
        self._rows: Vectors = np.empty((0, 0), np.float32)
        self._count = self._width = 0
        self._file: IO[bytes] | None = None

    def __len__(self) -> int:
        return self._count

    @property
    def on_disk(self) -> bool:
        """Whether the rows are in a file."""
        return self._file is not None

    @property
    def labels(self) -> Integers:
        """The labels (N,), int64."""
        return np.concatenate([np.empty(0, np.int64), *self._labels])

    @property
    def indices(self) -> Integers:
        """The image indices (N,), int64."""
        return np.concatenate([np.empty(0, np.int64), *self._indices])

    def append(self, rows: Vectors, labels: Integers, indices: Integers) -> None:
        """Add rows (B, E), their labels (B,) and image indices (B,).

        Raises:
            UserError: if the disk is full.
        """
        end = self._count + len(rows)
        if self._file is None and end * rows.shape[1] * 4 > self.budget:
            self._move_to_file()
        if self._file is not None:
            self._write(rows)
        else:
            if end > len(self._rows):
                larger = np.empty((max(end, 2 * len(self._rows)), rows.shape[1]), np.float32)
                if self._count:
                    larger[: self._count] = self._rows[: self._count]
                self._rows = larger
            self._rows[self._count : end] = rows
        self._labels.append(labels)
        self._indices.append(indices)
        self._count = end
        self._width = rows.shape[1]

    def read(self, numbers: Integers | slice) -> Vectors:
        """Return the rows at ``numbers``, copied to memory; a file is read fastest in ascending order."""
        rows = self._rows[: self._count]
        if self._file is not None:
            self._file.flush()
            rows = np.memmap(self._file, np.float32, "r", shape=(self._count, self._width))
        return np.array(rows[numbers]) if isinstance(numbers, slice) else np.asarray(rows[numbers])

    def blocks(self, size: int) -> Iterator[tuple[Vectors, Integers, Integers]]:
        """Iterate over rows, labels and image indices, ``size`` at a time, in the order in which they were appended."""
        labels, indices = self.labels, self.indices
        for start in range(0, self._count, size):
            part = slice(start, min(start + size, self._count))
            yield self.read(part), labels[part], indices[part]

    def _move_to_file(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="resemblance-")  # noqa: SIM115  # closed by __exit__
        self._write(self._rows[: self._count])
        self._rows = np.empty((0, 0), np.float32)

    def _write(self, rows: Vectors) -> None:
        assert self._file is not None
        try:
            self._file.write(np.ascontiguousarray(rows, np.float32).tobytes())
        except OSError as error:
            raise UserError(
                f"the embeddings fill the disk of {tempfile.gettempdir()} ({error.strerror}); "
                "set TMPDIR to a folder with more space"
            ) from None

    def __enter__(self) -> Embeddings:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._rows = np.empty((0, 0), np.float32)
        if self._file is not None:
            self._file.close()
