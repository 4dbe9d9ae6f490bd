"""Data sets that come as arrays: MedMNIST's .npz, IDX files, CIFAR-10's binary files, scikit-learn's digits."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resemblance.config.errors import UserError
from resemblance.data.files import split_up
from resemblance.data.source import ArraySource, DataSplits

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


def open_npz(path: Path, name: str, *, seed: int, val_fraction: float) -> DataSplits:
    """A MedMNIST file: ``train_images``, ``train_labels``, likewise ``val_`` and ``test_``; labels (n,) or (n, 1).

    Raises:
        UserError: for other contents: several labels an image, volumes, labels that are no class numbers.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
    except (ValueError, OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UserError(f"{path}: no .npz file of plain arrays ({' '.join(str(error).split())[:80]})") from None
    for key in ("train_images", "train_labels"):
        if key not in arrays:
            raise UserError(f"{path}: has no {key}; expected train_images, train_labels, and val_ and test_ likewise")
    numbers = [_npz_labels(arrays[f"{part}_labels"], path, part) for part in _parts(arrays)]
    count = int(max(labels.max(initial=0) for labels in numbers)) + 1
    if count < 2:
        raise UserError(f"{path}: all labels are 0; a classifier needs two classes")
    missing = sorted(set(range(count)) - set(numbers[0].tolist()))
    if missing:
        raise UserError(f"{path}: class {missing[0]} of {count} has no training image")
    classes = tuple(str(c) for c in range(count))
    sources = {
        part: _array_source(_npz_images(arrays[f"{part}_images"], path, part), labels, classes, f"{part}_images", path)
        for part, labels in zip(_parts(arrays), numbers, strict=True)
    }
    official = "test" in sources
    return split_up(
        sources["train"], sources.get("val"), sources.get("test"), name, seed, val_fraction, official, []
    )


def _parts(arrays: dict[str, NDArray[np.generic]]) -> list[str]:
    return [part for part in ("train", "val", "test") if f"{part}_images" in arrays and f"{part}_labels" in arrays]


def _npz_labels(labels: NDArray[np.generic], path: Path, part: str) -> NDArray[np.int64]:
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise UserError(f"{path}: {part}_labels has {labels.shape[1]} labels an image; multi-label data are not supported")
    flat = labels.reshape(-1)
    if flat.dtype.kind not in "iub" and not (flat.dtype.kind == "f" and (flat == np.floor(flat)).all()):  # type: ignore[call-overload]
        raise UserError(f"{path}: {part}_labels are no class numbers but {flat.dtype}")
    numbers = flat.astype(np.int64)
    if len(numbers) and numbers.min() < 0:
        raise UserError(f"{path}: {part}_labels hold the negative label {numbers.min()}; expected 0, 1, 2, ...")
    return numbers


def _npz_images(images: NDArray[np.generic], path: Path, part: str) -> NDArray[np.uint8]:
    shape = images.shape
    if images.dtype != np.uint8:
        raise UserError(f"{path}: {part}_images are {images.dtype}; expected uint8, 0 to 255")
    if images.ndim == 3:
        return images[..., None]  # type: ignore[return-value]
    if images.ndim == 4 and shape[3] in (1, 3):
        return images  # type: ignore[return-value]
    if images.ndim in (4, 5):
        raise UserError(f"{path}: {part}_images have shape {shape}, volumes; only images (n, h, w) or (n, h, w, 3)")
    raise UserError(f"{path}: {part}_images have shape {shape}; expected (n, h, w) or (n, h, w, 3)")


def _array_source(
    images: NDArray[np.uint8], labels: NDArray[np.int64], classes: Sequence[str], prefix: str, path: Path
) -> ArraySource:
    if len(images) != len(labels):
        raise UserError(f"{path}: {len(images)} {prefix} but {len(labels)} labels")
    if len(labels) and labels.max() >= len(classes):
        raise UserError(f"{path}: label {labels.max()} for {prefix}, but there are only {len(classes)} classes")
    return ArraySource(images, labels, classes, prefix)


def open_idx(folder: Path, name: str, classes: Sequence[str], *, seed: int, val_fraction: float) -> DataSplits:
    """The four IDX files of MNIST and its kin, gzipped or not.

    Raises:
        UserError: for a missing or damaged file.
    """
    sources = []
    for part, prefix in (("train", "train"), ("test", "t10k")):
        images_path, images = _idx(folder, f"{prefix}-images", 3)
        _, labels = _idx(folder, f"{prefix}-labels", 1)
        numbers = labels.astype(np.int64)
        sources.append(_array_source(images[..., None], numbers, classes, f"{part}-images", images_path))
    return split_up(sources[0], None, sources[1], name, seed, val_fraction, True, [])


def _idx(folder: Path, stem: str, dimensions: int) -> tuple[Path, NDArray[np.uint8]]:
    names = [f"{stem}-idx{dimensions}-ubyte{end}" for end in ("", ".gz")] + [f"{stem}.idx{dimensions}-ubyte"]
    places = [folder / sub / n for sub in ("", "raw", "MNIST/raw", "FashionMNIST/raw") for n in names]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise UserError(f"{folder}: has no {names[0]} (nor {names[1]}); expected the four IDX files")
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: damaged or cut off ({error})") from None
    if len(data) < 4 + 4 * dimensions or data[:4] != bytes([0, 0, 8, dimensions]):
        raise UserError(f"{path}: no IDX file of unsigned bytes with {dimensions} dimensions")
    shape = tuple(int(n) for n in np.frombuffer(data, ">i4", dimensions, 4))
    expected = 4 + 4 * dimensions + int(np.prod(shape))
    if len(data) != expected:
        raise UserError(f"{path}: {len(data)} bytes where its header tells of {expected}; damaged or cut off")
    return path, np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def open_cifar_binary(folder: Path, name: str, *, seed: int, val_fraction: float) -> DataSplits:
    """CIFAR-10's binary version: records of one label byte and 3072 bytes of pixels.

    Raises:
        UserError: for a missing or damaged file.
    """
    sources = []
    for part, files in (("train", [f"data_batch_{i}.bin" for i in range(1, 6)]), ("test", ["test_batch.bin"])):
        records = []
        for file in files:
            path = folder / file
            data = np.frombuffer(path.read_bytes(), np.uint8) if path.is_file() else np.zeros(1, np.uint8)
            if len(data) % 3073 or not len(data):
                raise UserError(f"{path}: missing or cut off; expected records of 3073 bytes")
            records.append(data.reshape(-1, 3073))
        whole = np.concatenate(records)
        images = np.ascontiguousarray(whole[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        sources.append(_array_source(images, whole[:, 0].astype(np.int64), CIFAR10, f"{part}-images", folder))
    return split_up(sources[0], None, sources[1], name, seed, val_fraction, True, [])


def open_digits(*, seed: int, val_fraction: float) -> DataSplits:
    """scikit-learn's 1,797 real handwritten digits, 8×8 pixels, scaled to 32×32."""
    from sklearn.datasets import load_digits

    stored = load_digits()
    small = np.round(stored.images * (255 / 16)).astype(np.uint8)
    images = np.stack([np.asarray(Image.fromarray(i).resize((32, 32), Image.Resampling.BICUBIC)) for i in small])
    source = ArraySource(images[..., None], stored.target.astype(np.int64), DIGITS, "digit")
    return split_up(source, None, None, "digits", seed, val_fraction, False, [])
