"""STL-10: objects of ten classes, 96×96 pixels, in its binary version."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resemblance.config.errors import UserError
from resemblance.data.benchmarks.data_request import DataRequest
from resemblance.data.benchmarks.published_files import PublishedData, find_folder
from resemblance.data.benchmarks.published_sums import notes_on_checksums
from resemblance.data.benchmarks.stored_arrays import open_arrays
from resemblance.data.sources.source import DataSplits
from resemblance.data.text import one_line, reason

CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
STL10 = PublishedData(
    "STL-10 (binary version)", (("train_X.bin",), ("train_y.bin",), ("test_X.bin",), ("test_y.bin",))
)
SIDE = 96


def open_stl10(request: DataRequest) -> DataSplits:
    """Open ``stl10:DIR``; the images without labels are not used.

    Raises:
        UserError: for missing or damaged files.
    """
    folder, _ = find_folder(request.place, STL10)
    paths = [STL10.path(folder, number) for number in range(4)]
    arrays = {}
    for part, (images_path, labels_path) in (("train", paths[:2]), ("test", paths[2:])):
        stored, labels = _bytes(images_path), _bytes(labels_path)
        size = 3 * SIDE * SIDE
        if len(stored) != size * len(labels) or not len(labels):
            raise UserError(
                f"{one_line(images_path)}: {len(stored):,} bytes for {len(labels):,} labels; expected "
                f"{size * len(labels):,}; damaged or cut off"
            )
        if labels.min() < 1 or labels.max() > len(CLASSES):
            raise UserError(f"{one_line(labels_path)}: a label is not from 1 to {len(CLASSES)}")
        columns = stored.reshape(-1, 3, SIDE, SIDE)  # channel, column, row
        images = np.ascontiguousarray(columns.transpose(0, 3, 2, 1))
        arrays[part] = images, labels.astype(np.int64) - 1
    return open_arrays(request, CLASSES, arrays, notes_on_checksums(paths))


def _bytes(path: Path) -> NDArray[np.uint8]:
    try:
        return np.fromfile(path, np.uint8)
    except OSError as error:
        raise UserError(f"{one_line(path)}: {reason(error)}") from None
