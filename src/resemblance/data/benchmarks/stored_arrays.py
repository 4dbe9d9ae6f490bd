"""Data sets of arrays in memory, and MATLAB's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resemblance.config.errors import UserError
from resemblance.data.benchmarks.data_request import DataRequest
from resemblance.data.sources.source import ArraySource, DataSplits, Source
from resemblance.data.sources.split import complete
from resemblance.data.text import one_line, reason


def open_arrays(
    request: DataRequest,
    classes: Sequence[str],
    arrays: Mapping[str, tuple[NDArray[np.uint8], NDArray[np.int64]]],
    notes: Sequence[str] = (),
) -> DataSplits:
    """Open images in memory: split → pixels (N, H, W, C) and class numbers (N,)."""
    sources: dict[str, Source] = {
        part: ArraySource(images, labels, classes, f"{part}-images")
        for part, (images, labels) in arrays.items()
    }
    return complete(
        sources,
        request.name,
        list(notes),
        seed=request.seed,
        val_fraction=request.val_fraction,
        hold_test=False,
    )


def read_matlab(path: Path, *names: str) -> list[Any]:
    """Return variables of a MATLAB file (up to version 7.2), with single elements and dimensions of 1 removed.

    Raises:
        UserError: if the file is damaged, or has no variable of that name.
    """
    from scipy.io import loadmat

    try:
        content = loadmat(path, squeeze_me=True, variable_names=names)
    except Exception as error:  # scipy raises a dozen kinds for damaged files
        if isinstance(error, OSError) and error.strerror:  # as for a file that may not be read
            raise UserError(f"{one_line(path)}: {reason(error)}") from None
        raise UserError(f"{one_line(path)}: damaged, or not a MATLAB file ({reason(error)})") from None
    absent = [name for name in names if name not in content]
    if absent:
        raise UserError(f"{one_line(path)}: has no variable {absent[0]!r}; not the file of this data set")
    return [content[name] for name in names]
