"""Files of latents: complete or absent, mapped into memory when they are read, and checked against damage."""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resemblance.writing import replacing

Array = NDArray[Any]
MAGIC = b"resemblance latents 1\n"
HEADER = 256  # bytes before the values: the line above, then shape and type as JSON, then spaces
CHECKSUM = 4  # bytes after the values: the CRC-32 of all before
TYPES = ("float32", "float64", "int16")  # int16: the bits of 16-bit floating point numbers
_CHUNK = 1 << 24


def write_latents(path: Path, shape: tuple[int, ...], dtype: str, blocks: Iterable[Array]) -> None:
    """Write an array block by block; if killed at any time, there is the old file or the new one.

    Args:
        path: the file.
        shape: of the whole array.
        dtype: one of `TYPES`.
        blocks: its rows, in order.

    Raises:
        CannotWriteError: if it cannot be written, for instance because the disk is full.

    Example:
        >>> from tempfile import mkdtemp
        >>> path = Path(mkdtemp()) / "a.latents"
        >>> write_latents(path, (3, 2), "float32", [np.zeros((2, 2), np.float32), np.ones((1, 2), np.float32)])
        >>> read_latents(path).tolist()
        [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]]
    """
    header = (MAGIC + json.dumps({"shape": shape, "dtype": dtype}).encode()).ljust(HEADER)
    # Written, not mapped: a full disk is then an error of this process, and not a signal that ends it.
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(header)
        checksum = zlib.crc32(header)
        for block in blocks:
            data = np.ascontiguousarray(block, dtype).data.cast("B")
            file.write(data)
            checksum = zlib.crc32(data, checksum)
        file.write(checksum.to_bytes(CHECKSUM, "little"))


def read_latents(path: Path) -> Array | None:
    """Map the array of a file into memory, read-only; None if there is no such file, or it is damaged.

    All of it is read once, to compare it with its checksum.
    """
    try:
        with path.open("rb") as file:
            header = file.read(HEADER)
            size = os.fstat(file.fileno()).st_size
            described = json.loads(header.removeprefix(MAGIC)) if header.startswith(MAGIC) else {}
            shape, dtype = tuple(described["shape"]), described["dtype"]
            if dtype not in TYPES or not all(type(side) is int and side > 0 for side in shape):
                return None
            values = math.prod(shape) * np.dtype(dtype).itemsize
            if size != HEADER + values + CHECKSUM:
                return None
            mapped = np.memmap(file, np.uint8, "r")
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    checksum = 0
    for start in range(0, size - CHECKSUM, _CHUNK):
        checksum = zlib.crc32(mapped[start : min(start + _CHUNK, size - CHECKSUM)].data, checksum)
    if checksum != int.from_bytes(mapped[size - CHECKSUM :].tobytes(), "little"):
        return None
    array: Array = mapped[HEADER : HEADER + values].view(dtype).reshape(shape)
    return array
