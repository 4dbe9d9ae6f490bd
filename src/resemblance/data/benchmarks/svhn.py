"""SVHN: house numbers, cropped to single digits (format 2)."""

from __future__ import annotations

import numpy as np

from resemblance.config.errors import UserError
from resemblance.data.benchmarks.data_request import DataRequest
from resemblance.data.benchmarks.published_files import PublishedData, find_folder
from resemblance.data.benchmarks.published_sums import notes_on_checksums
from resemblance.data.benchmarks.stored_arrays import open_arrays, read_matlab
from resemblance.data.sources.arrays import DIGITS
from resemblance.data.sources.source import DataSplits
from resemblance.data.text import one_line

SVHN = PublishedData("SVHN (cropped digits)", (("train_32x32.mat",), ("test_32x32.mat",)))
ZERO = 10  # the label of the digit 0


def open_svhn(request: DataRequest) -> DataSplits:
    """Open ``svhn:DIR``; the additional images of ``extra_32x32.mat`` are not used.

    Raises:
        UserError: for missing or damaged files.
    """
    folder, _ = find_folder(request.place, SVHN)
    arrays = {}
    paths = [SVHN.path(folder, number) for number in range(2)]
    for part, path in zip(("train", "test"), paths, strict=True):
        images, labels = read_matlab(path, "X", "y")
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[2] != 3:
            raise UserError(
                f"{one_line(path)}: X is {images.dtype} {images.shape}; expected images (32, 32, 3, N) of uint8"
            )
        numbers = np.asarray(labels).astype(np.int64)
        if numbers.shape != images.shape[3:] or not ((numbers >= 1) & (numbers <= ZERO)).all():
            raise UserError(
                f"{one_line(path)}: y is not a label from 1 to 10 for each of {images.shape[3]} images"
            )
        arrays[part] = np.ascontiguousarray(images.transpose(3, 0, 1, 2)), numbers % ZERO
    return open_arrays(request, DIGITS, arrays, notes_on_checksums(paths))
