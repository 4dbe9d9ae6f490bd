"""QuickDraw: the subset of ten classes on which FLINT, ProtoVAE and KMEx were measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resemblance.config.errors import UserError
from resemblance.data.benchmarks.data_request import DataRequest
from resemblance.data.benchmarks.published_files import PublishedData, find_folder
from resemblance.data.benchmarks.stored_arrays import open_arrays
from resemblance.data.sources.source import DataSplits
from resemblance.data.text import one_line, reason

CLASSES = ("ant", "apple", "banana", "carrot", "cat", "cow", "dog", "frog", "grapes", "lion")
QUICKDRAW = PublishedData(
    "QuickDraw (bitmaps as .npy)",
    tuple((f"{name}_small.npy", f"{name}.npy", f"full_numpy_bitmap_{name}.npy") for name in CLASSES),
)
IMAGES, TRAINING = 10_000, 0.8  # per class, and the share of them for training
SEED = 0
SIDE = 28


def open_quickdraw(request: DataRequest) -> DataSplits:
    """Open ``quickdraw:DIR``: of each class 10,000 drawings, the first 8,000 of them for training.

    The authors' drawings are those of ``NAME_small.npy``, or the rows of ``NAME.npy`` that ``NAME_id.npy`` beside it
    lists. Without either, 10,000 rows of ``NAME.npy`` are drawn, the same ones for every seed, which a note says.

    Raises:
        UserError: for missing or damaged files.
    """
    folder, _ = find_folder(request.place, QUICKDRAW)
    parts: dict[str, list[tuple[NDArray[np.uint8], NDArray[np.int64]]]] = {"train": [], "test": []}
    drawn = []
    for label, name in enumerate(CLASSES):
        path = QUICKDRAW.path(folder, label)
        images, chosen = _drawings(path, folder / f"{name}_id.npy")
        if chosen:
            drawn.append(name)
        border = round(TRAINING * len(images))
        for part, rows in (("train", images[:border]), ("test", images[border:])):
            parts[part].append((rows, np.full(len(rows), label, dtype=np.int64)))
    notes = []
    if drawn:
        notes.append(
            f"{IMAGES:,} drawings of each class drawn at random ({', '.join(drawn)}), since the authors' choice, "
            "NAME_small.npy or NAME_id.npy, is not there"
        )
    arrays = {
        part: (np.concatenate([images for images, _ in rows]), np.concatenate([labels for _, labels in rows]))
        for part, rows in parts.items()
    }
    return open_arrays(request, CLASSES, arrays, notes)


def _drawings(path: Path, listed: Path) -> tuple[NDArray[np.uint8], bool]:
    """Return at most 10,000 drawings (N, 28, 28, 1) of a file, and whether they were drawn at random."""
    rows = _load(path)
    if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != SIDE * SIDE or len(rows) < 2:
        raise UserError(f"{one_line(path)}: {rows.dtype} {rows.shape}; expected drawings (N, 784) of uint8")
    chosen, random = np.arange(len(rows)), False
    if not path.stem.endswith("_small"):
        if listed.is_file():
            chosen = _load(listed).astype(np.int64).reshape(-1)
            if not len(chosen) or chosen.min() < 0 or chosen.max() >= len(rows):
                raise UserError(
                    f"{one_line(listed)}: not numbers of rows of {path.name}, which has {len(rows):,}"
                )
        elif len(rows) > IMAGES:
            chosen, random = np.random.default_rng(SEED).permutation(len(rows)), True
    return np.array(rows[chosen[:IMAGES]]).reshape(-1, SIDE, SIDE, 1), random


def _load(path: Path) -> NDArray[np.generic]:
    try:
        stored: NDArray[np.generic] = np.load(path, mmap_mode="r", allow_pickle=False)
        return stored
    except Exception as error:  # of numpy's header parser, and for refused pickles
        raise UserError(f"{one_line(path)}: not a readable .npy file ({reason(error)})") from None
