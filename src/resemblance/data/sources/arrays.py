"""Data sets of plain arrays: IDX files, CIFAR-10's binary files, scikit-learn's digits."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resemblance.config.errors import UserError
from resemblance.data.sources.source import ArraySource, DataSplits
from resemblance.data.sources.split import complete
from resemblance.data.text import one_line, reason

DIGITS = tuple("0123456789")
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
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

LARGEST = 2 << 30  # bytes of an unpacked IDX file
DEFLATE = 1040  # gzip makes data at most 1,032 times smaller


def array_source(
    images: NDArray[np.uint8], labels: NDArray[np.int64], classes: Sequence[str], prefix: str, shown: str
) -> ArraySource:
    """Check the labels (N,) of images (N, H, W, C) and return their source.

    Args:
        images: the pixels.
        labels: class numbers.
        classes: the class names.
        prefix: the prefix of the images' names.
        shown: the name of the file in messages.

    Raises:
        UserError: if the numbers of images and labels differ, or a label is not a class number.
    """
    if len(images) != len(labels):
        raise UserError(f"{shown}: {len(images)} {prefix} but {len(labels)} labels")
    if len(labels) and labels.max() >= len(classes):
        raise UserError(
            f"{shown}: label {labels.max()} for {prefix} #{labels.argmax()}; expected 0 to {len(classes) - 1}"
        )
    return ArraySource(images, labels, classes, prefix)


def open_idx(
    folder: Path, name: str, classes: Sequence[str], *, seed: int, val_fraction: float
) -> DataSplits:
    """Open the four IDX files of MNIST or a similar data set, gzipped or not.

    Raises:
        UserError: for a missing or damaged file.
    """
    sources = {}
    for part, prefix in (("train", "train"), ("test", "t10k")):
        _, images = _idx(folder, f"{prefix}-images", 3)
        shown, labels = _idx(folder, f"{prefix}-labels", 1)
        sources[part] = array_source(
            images[..., None], labels.astype(np.int64), classes, f"{part}-images", shown
        )
    return complete({**sources}, name, [], seed=seed, val_fraction=val_fraction, hold_test=False)


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


def open_cifar_binary(folder: Path, name: str, *, seed: int, val_fraction: float) -> DataSplits:
    """Open CIFAR-10's binary version: records of one label byte and 3072 bytes of pixels.

    Raises:
        UserError: for a missing or damaged file.
    """
    sources = {}
    for part, files in (
        ("train", [f"data_batch_{i}.bin" for i in range(1, 6)]),
        ("test", ["test_batch.bin"]),
    ):
        records = np.concatenate([_cifar_records(folder / file) for file in files])
        images = np.ascontiguousarray(records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        sources[part] = ArraySource(images, records[:, 0].astype(np.int64), CIFAR10, f"{part}-images")
    return complete({**sources}, name, [], seed=seed, val_fraction=val_fraction, hold_test=False)


def _cifar_records(path: Path) -> NDArray[np.uint8]:
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise UserError(f"{one_line(path)}: {reason(error)}") from None
    if len(data) % 3073 or not len(data):
        raise UserError(
            f"{one_line(path)}: {len(data)} bytes; expected records of 3073 bytes; damaged or cut off"
        )
    records = data.reshape(-1, 3073)
    if records[:, 0].max() >= len(CIFAR10):
        raise UserError(f"{one_line(path)}: label {records[:, 0].max()}; expected 0 to 9")
    return records


def open_digits(*, seed: int, val_fraction: float) -> DataSplits:
    """Open scikit-learn's 1,797 real handwritten digits, 8×8 pixels, scaled to 32×32."""
    from sklearn.datasets import load_digits

    stored = load_digits()
    small = np.round(stored.images * (255 / 16)).astype(np.uint8)
    images = np.stack(
        [np.asarray(Image.fromarray(i).resize((32, 32), Image.Resampling.BICUBIC)) for i in small]
    )
    source = ArraySource(images[..., None], stored.target.astype(np.int64), DIGITS, "digit")
    return complete({"train": source}, "digits", [], seed=seed, val_fraction=val_fraction, hold_test=True)
