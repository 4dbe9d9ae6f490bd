"""MNIST and Fashion-MNIST: files of the IDX format."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from resemblance.config.errors import UserError
from resemblance.data.benchmarks.data_request import DataRequest
from resemblance.data.sources.arrays import DIGITS, array_source
from resemblance.data.sources.source import DataSplits, Source
from resemblance.data.sources.split import complete
from resemblance.data.text import one_line, reason

FASHION = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

LARGEST = 2 << 30  # bytes of an unpacked IDX file
DEFLATE = 1040  # gzip makes data at most 1,032 times smaller


def open_idx(request: DataRequest) -> DataSplits:
    """Open the four IDX files of ``mnist:DIR`` or ``fashion-mnist:DIR``, gzipped or not.

    Raises:
        UserError: for a missing or damaged file.
    """
    folder, classes = request.place, FASHION if request.kind == "fashion-mnist" else DIGITS
    sources: dict[str, Source] = {}
    for part, prefix in (("train", "train"), ("test", "t10k")):
        _, images = _idx(folder, f"{prefix}-images", 3)
        shown, labels = _idx(folder, f"{prefix}-labels", 1)
        sources[part] = array_source(
            images[..., None], labels.astype(np.int64), classes, f"{part}-images", shown
        )
    return complete(
        sources, request.name, [], seed=request.seed, val_fraction=request.val_fraction, hold_test=False
    )


def _idx(folder: Path, stem: str, dimensions: int) -> tuple[str, NDArray[np.uint8]]:
    names = [f"{stem}{mark}idx{dimensions}-ubyte{end}" for end in ("", ".gz") for mark in "-."]
    places = [folder / sub / n for sub in ("", "raw", "MNIST/raw", "FashionMNIST/raw") for n in names]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise UserError(
            f"{one_line(folder)}: has no {names[0]} (nor {names[2]}); expected the four IDX files"
        )
    shown = one_line(path)
    try:
        with path.open("rb") as file:
            compressed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            stream: BinaryIO | gzip.GzipFile = gzip.GzipFile(fileobj=file) if compressed else file
            most = path.stat().st_size * DEFLATE if compressed else LARGEST
            return shown, _read_idx(stream, most, dimensions, shown)
    except PermissionError as error:
        raise UserError(f"{shown}: {reason(error)}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{shown}: damaged or cut off ({reason(error)})") from None


def _read_idx(stream: BinaryIO | gzip.GzipFile, most: int, dimensions: int, shown: str) -> NDArray[np.uint8]:
    """Read the array of an IDX file, and no more bytes than its header announces and the file can hold.

    Args:
        stream: the file, unpacked.
        most: the largest number of bytes that it can unpack to.
        dimensions: the number of dimensions of the array.
        shown: the name of the file in messages.
    """
    header = stream.read(4 + 4 * dimensions)
    if len(header) < 4 + 4 * dimensions or header[:4] != bytes([0, 0, 8, dimensions]):
        raise UserError(f"{shown}: not an IDX file of unsigned bytes with {dimensions} dimensions")
    shape = tuple(int(n) for n in np.frombuffer(header, ">u4", dimensions, 4))
    if 0 in shape:
        raise UserError(f"{shown}: empty; the shape in its header is {shape}")
    size = len(header) + math.prod(shape)
    if size > LARGEST:
        raise UserError(f"{shown}: the shape in its header, {shape}, is over {LARGEST >> 20} MiB; refused")
    if size > most:
        raise UserError(f"{shown}: too short for the shape in its header, {shape}; damaged or cut off")
    data = stream.read(size - len(header))
    if len(header) + len(data) < size:
        raise UserError(f"{shown}: {len(header) + len(data)} bytes instead of {size}; damaged or cut off")
    if stream.read(1):
        raise UserError(f"{shown}: more than the {size} bytes that its header announces; damaged")
    return np.frombuffer(data, np.uint8).reshape(shape)
