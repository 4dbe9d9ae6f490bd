"""Snapshots of the prototypes in training: small arrays that are written after some epochs."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

import numpy as np

from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.training.checksums import Checksum, add_checksum, compare_checksum
from resemblance.writing import replacing

FOLDER = "snapshots"
LARGEST = 1 << 28  # bytes


def due(epoch: int, total: int) -> bool:
    """Check whether a snapshot is due after ``epoch`` of ``total``: before training, at powers of two, at the end.

    Example:
        >>> [epoch for epoch in range(61) if due(epoch, 60)]
        [0, 1, 2, 4, 8, 16, 32, 60]
    """
    return epoch in (0, total) or epoch & (epoch - 1) == 0


def write_snapshot(model: Classifier, run: Path, epoch: int) -> None:
    """Write the model's snapshot to ``run/snapshots/000012.npz``, if it has one.

    Args:
        model: on any device.
        run: the run folder.
        epoch: epochs done in all stages.
    """
    arrays = model.snapshot()
    if arrays is None:
        return
    with replacing(run / FOLDER / f"{epoch:06}.npz") as temporary, temporary.open("w+b") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # numpy's stub: keywords are arrays
        add_checksum(file)


def read_snapshots(
    model: Classifier, run: Path, warn: Callable[[str], None]
) -> list[tuple[int, dict[str, np.ndarray]]]:
    """Return all snapshots of a run in order, each with the number of epochs done; empty if there are none.

    Args:
        model: the trained model, whose own snapshot shows which arrays belong into one.
        run: the run folder.
        warn: receives a line about each snapshot that is damaged or does not fit the model, and is left out.
    """
    arrays = model.snapshot()
    if arrays is None:
        return []
    snapshots = []
    for path in sorted((run / FOLDER).glob("*.npz")):
        try:
            snapshots.append((_epoch(path), _read(path, arrays)))
        except UserError as error:
            warn(f"{error}; the figures are drawn without it")
    return snapshots


def _epoch(path: Path) -> int:
    if not path.stem.isdecimal():
        raise UserError(f"{path} is not a snapshot, whose name is a number")
    return int(path.stem)


def _read(path: Path, like: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    reason = "it does not match its checksum"
    try:
        with path.open("rb") as file:
            # Runs of earlier versions, whose snapshots have no checksum, still have reports.
            if compare_checksum(file) is not Checksum.DIFFERS:
                _check_size(file)
                with np.load(file, allow_pickle=False) as stored:
                    arrays = dict(stored)
                if _kinds(arrays) == _kinds(like):
                    return arrays
                reason = "it does not fit the model"
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds, all of which mean damage
        reason = (str(error).strip() or type(error).__name__).split("\n")[0][:120]
    raise UserError(f"{path} is damaged, {reason}")


def _check_size(file: IO[bytes]) -> None:
    """Refuse an archive that fills the memory when it is unpacked."""
    with zipfile.ZipFile(file) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > LARGEST:
        raise ValueError(f"its arrays have {size:,} bytes")
    file.seek(0)


def _kinds(arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[object, ...]]:
    """Return the type and the shape of each array, without the number of prototypes, which training can change."""
    return {name: (array.dtype, array.ndim, array.shape[1:]) for name, array in arrays.items()}
