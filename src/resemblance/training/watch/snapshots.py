"""Snapshots of the prototypes in training: small arrays that are written after some epochs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from resemblance.core.classifier import Classifier

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
    folder = run / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{epoch:06}.tmp"
    with temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # numpy's stub: keywords are arrays
    os.replace(temporary, folder / f"{epoch:06}.npz")


def read_snapshots(run: Path) -> list[tuple[int, dict[str, np.ndarray]]]:
    """Return all snapshots of a run in order, each with the number of epochs done; empty if there are none."""
    snapshots = []
    for path in sorted((run / FOLDER).glob("*.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            snapshots.append((int(path.stem), dict(arrays)))
    return snapshots
