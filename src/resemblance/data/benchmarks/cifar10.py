"""CIFAR-10: image files, or its binary version."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resemblance.config.errors import UserError
from resemblance.data.benchmarks.data_request import DataRequest
from resemblance.data.benchmarks.stored_arrays import open_arrays
from resemblance.data.sources.files import open_files
from resemblance.data.sources.source import DataSplits
from resemblance.data.sources.tree import Archive, Bundle, Folder
from resemblance.data.text import one_line, reason

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def open_cifar(request: DataRequest) -> DataSplits:
    """Open ``cifar10:DIR``: train.zip and test.zip of image files, folders of them, or the binary version.

    Raises:
        UserError: for missing or damaged files, or other classes.
    """
    folder = request.place
    for place in (folder, folder / "cifar-10-batches-bin"):
        if (place / "test_batch.bin").is_file():
            return _open_binary(request, place)
    archives = {part: folder / f"{part}.zip" for part in ("train", "test")}
    if all(path.is_file() for path in archives.values()):
        tree: Bundle | Folder = Bundle({part: Archive(path) for part, path in archives.items()})
    elif (folder / "train").is_dir():
        tree = Folder(folder)
    else:
        raise UserError(
            f"{one_line(folder)}: has neither train.zip and test.zip, nor train/ and test/, nor "
            "data_batch_1.bin to test_batch.bin; the version with Python pickles cannot be read"
        )
    splits = open_files(
        tree,
        request.name,
        skip_bad_images=request.skip_bad_images,
        seed=request.seed,
        val_fraction=request.val_fraction,
    )
    if splits.classes != CIFAR10:
        raise UserError(
            f"{request.name}: has the classes {', '.join(splits.classes)}; expected CIFAR-10's: {', '.join(CIFAR10)}"
        )
    return splits


def _open_binary(request: DataRequest, folder: Path) -> DataSplits:
    """Open records of one label byte and 3072 bytes of pixels."""
    arrays = {}
    for part, files in (
        ("train", [f"data_batch_{i}.bin" for i in range(1, 6)]),
        ("test", ["test_batch.bin"]),
    ):
        records = np.concatenate([_cifar_records(folder / file) for file in files])
        images = np.ascontiguousarray(records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        arrays[part] = images, records[:, 0].astype(np.int64)
    return open_arrays(request, CIFAR10, arrays)


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
