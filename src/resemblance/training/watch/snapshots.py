"""Snapshots of the prototypes in training: small arrays that are written after some epochs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.training.checksums import Checksum, add_checksum, compare_checksum
from resemblance.writing import replacing

FOLDER = "snapshots"


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


def read_snapshots(run: Path) -> list[tuple[int, dict[str, np.ndarray]]]:
    """Return all snapshots of a run in order, each with the number of epochs done; empty if there are none.

    Raises:
        UserError: if one is damaged.
    """
    return [(_epoch(path), _read(path)) for path in sorted((run / FOLDER).glob("*.npz"))]


def _epoch(path: Path) -> int:
    if not path.stem.isdecimal():
        raise UserError(f"{path} is not a snapshot, whose name is a number; move it to another folder")
    return int(path.stem)


def _read(path: Path) -> dict[str, np.ndarray]:
    reason = "it does not match its checksum"
    try:
        with path.open("rb") as file:
            # Runs of earlier versions, whose snapshots have no checksum, still have reports.
            if compare_checksum(file) is not Checksum.DIFFERS:
                with np.load(file, allow_pickle=False) as arrays:
                    return dict(arrays)
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds, all of which mean damage
        reason = (str(error).strip() or type(error).__name__).split("\n")[0][:120]
    raise UserError(f"{path} is damaged, {reason}; delete it, and the figures are drawn without it")
