"""Open MedMNIST's files: images and class numbers of all splits as arrays in one .npz."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resemblance.config.errors import UserError
from resemblance.data.sources.arrays import array_source
from resemblance.data.sources.source import DataSplits, Source
from resemblance.data.sources.split import complete
from resemblance.data.text import one_line, reason

PARTS = ("train", "val", "test")
SUSPICIOUS = 1 << 28  # bytes
Arrays = dict[str, NDArray[np.generic]]


def open_npz(path: Path, name: str, *, seed: int, val_fraction: float) -> DataSplits:
    """Open a MedMNIST file with ``train_images``, ``train_labels``, and also ``val_``, ``test_``; labels (n,), (n, 1).

    Raises:
        UserError: for other contents: several labels per image, volumes, labels that are not class numbers.
    """
    shown = one_line(path)
    arrays = _load(path, shown)
    parts = [part for part in PARTS if f"{part}_images" in arrays]
    labels = {part: _labels(arrays[f"{part}_labels"], part, shown) for part in parts}
    classes = _classes(labels, shown)
    sources: dict[str, Source] = {}
    for part in parts:
        images = _images(arrays[f"{part}_images"], part, shown)
        if len(images) or len(labels[part]):
            sources[part] = array_source(images, labels[part], classes, f"{part}_images", shown)
    return complete(sources, name, [], seed=seed, val_fraction=val_fraction, hold_test=True)


def _load(path: Path, shown: str) -> Arrays:
    known = [f"{part}_{kind}" for part in PARTS for kind in ("images", "labels")]
    try:
        with zipfile.ZipFile(path) as archive:
            bombs = [entry.filename for entry in archive.infolist() if _is_bomb(entry)]
        if bombs:
            raise UserError(
                f"{shown}: {one_line(bombs[0])} unpacks to over a hundred times its size; refused"
            )
        with np.load(path, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in known if key in stored.files}
            keys = set(stored.files)
    except UserError:
        raise
    except Exception as error:  # from zipfile, zlib, numpy's header parser, and for refused pickles
        raise UserError(f"{shown}: not an .npz file of plain arrays ({reason(error)})") from None
    other = next((key for key, array in arrays.items() if not isinstance(array, np.ndarray)), None)
    if other is not None:  # numpy returns the bytes of a file in the archive that does not begin as an array
        raise UserError(f"{shown}: {other} is not an array")
    for part in PARTS:
        both = {f"{part}_images", f"{part}_labels"}
        if (part == "train" or both & keys) and not both <= keys:
            raise UserError(
                f"{shown}: has no {min(both - keys)}; expected train_images, train_labels, also val and test"
            )
    return arrays


def _is_bomb(entry: zipfile.ZipInfo) -> bool:
    return entry.file_size > SUSPICIOUS and entry.file_size > 100 * entry.compress_size


def _labels(labels: NDArray[np.generic], part: str, shown: str) -> NDArray[np.int64]:
    if labels.ndim == 2 and labels.shape[1] != 1:
        raise UserError(
            f"{shown}: {part}_labels has {labels.shape[1]} labels per image; expected one, not multi-label data"
        )
    if labels.ndim not in (1, 2):
        raise UserError(f"{shown}: {part}_labels has shape {labels.shape}; expected (n,) or (n, 1)")
    flat = labels.reshape(-1)
    with np.errstate(invalid="ignore"):  # NaN fails the comparison
        numbers = flat.astype(np.int64) if flat.dtype.kind in "iubf" else None
    if numbers is None or not (numbers == flat).all():
        raise UserError(f"{shown}: {part}_labels are not class numbers 0, 1, 2, ... but {flat.dtype}")
    if len(numbers) and numbers.min() < 0:
        raise UserError(
            f"{shown}: {part}_labels contains the negative label {numbers.min()}; expected 0, 1, 2, ..."
        )
    return numbers


def _classes(labels: dict[str, NDArray[np.int64]], shown: str) -> list[str]:
    present = np.unique(labels["train"])
    if len(present) < 2:
        raise UserError(f"{shown}: train_labels contains {len(present)} class; a classifier needs two")
    if len(present) <= present[-1]:
        missing = int(np.flatnonzero(present != np.arange(len(present)))[0])
        raise UserError(
            f"{shown}: train_labels goes up to {present[-1]}, but none is {missing}; expected every number"
        )
    for part, numbers in labels.items():
        if numbers.max(initial=0) > present[-1]:
            raise UserError(
                f"{shown}: {part}_labels contains {numbers.max()}, but train_labels only goes up to {present[-1]}"
            )
    return [str(number) for number in present]


def _images(images: NDArray[np.generic], part: str, shown: str) -> NDArray[np.uint8]:
    shape = images.shape
    if images.dtype != np.uint8:
        raise UserError(f"{shown}: {part}_images are {images.dtype}; expected uint8, 0 to 255")
    pixels = images.view(np.uint8)
    if len(shape) == 3 and 0 not in shape[1:]:
        return pixels[..., None]
    if len(shape) == 4 and shape[3] in (1, 3) and 0 not in shape[1:]:
        return pixels
    raise UserError(
        f"{shown}: {part}_images has shape {shape}; expected images (n, h, w) or (n, h, w, 3), not volumes"
    )
