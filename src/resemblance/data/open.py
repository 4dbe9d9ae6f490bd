"""Open data sets by the name that the user writes."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from resemblance.config.errors import UserError
from resemblance.config.files.named_files import KINDS, NAMED, missing_data
from resemblance.config.image import checked_window
from resemblance.data.benchmarks.benchmark_readers import BENCHMARKS, CHOOSES_LABELS, MARKS
from resemblance.data.benchmarks.data_request import DataRequest
from resemblance.data.benchmarks.published_sums import on_archives
from resemblance.data.labels.find_tables import NONE
from resemblance.data.parquet.hub_data import HUB, download_hub_data
from resemblance.data.parquet.parquet_labels import label_parquet, parquet_files
from resemblance.data.sources.arrays import open_digits
from resemblance.data.sources.files import open_files, open_labelled
from resemblance.data.sources.layout import looks_like_image
from resemblance.data.sources.npz import open_npz
from resemblance.data.sources.source import DataSplits
from resemblance.data.sources.tree import Archive, Folder, Tree
from resemblance.data.text import one_line

Opener = Callable[[str, int, float], DataSplits]

_REGISTERED: dict[str, Opener] = {}


def register_source(kind: str, opener: Opener) -> None:
    """Register a new kind of data, which is then opened by the name ``kind:PATH``, also on the command line.

    Args:
        kind: the word before the colon.
        opener: called with the text after the colon, the seed and the share of the validation split; returns the
            splits, or raises a `UserError` of one line if the data is wrong.

    Raises:
        ValueError: if the kind is one of this library, or is not a word.

    Example:
        >>> from resemblance.data.sources.source import ArraySource
        >>> import numpy as np
        >>> def open_noise(count, seed, val_fraction):
        ...     pixels = np.random.default_rng(seed).integers(0, 256, (int(count), 8, 8, 1), dtype=np.uint8)
        ...     source = ArraySource(pixels, np.arange(int(count)) % 2, ("even", "odd"))
        ...     return DataSplits(source, source, None, source.classes, f"noise:{count}")
        >>> register_source("noise", open_noise)
        >>> len(open_data("noise:12").train)
        12
    """
    if kind in (*NAMED, "digits", "hf") or not kind.replace("-", "").isalnum():
        raise ValueError(f"{kind!r} cannot name a kind of data; choose a word that this library does not use")
    _REGISTERED[kind] = opener


def open_data(
    spec: str,
    *,
    seed: int = 0,
    val_fraction: float = 0.1,
    skip_bad_images: bool = False,
    labels: str | Path | None = None,
    window: Sequence[float] | None = None,
) -> DataSplits:
    """Open a data set; all image files are decoded once, so that damaged ones are found at the start.

    Args:
        spec: a folder of class folders (with or without ``train/``, ``val/``, ``test/``), the same in a .zip, a
            MedMNIST .npz, a folder of Parquet files, ``hf:OWNER/NAME``, ``digits``, a published data set by its name
            (``mnist:DIR``, ``cub:DIR``, see ``docs/data.md``), or a registered kind (see `register_source`).
        seed: seed of the validation split where the data has none; a test split is the same for every seed.
        val_fraction: share of the training images used for validation where the data has no validation images.
        skip_bad_images: leave out unreadable files, with a note, instead of raising an error.
        labels: a table that names the classes of image files, and perhaps their splits and groups, perhaps with
            ``:COLUMN`` for the column of classes; ``none`` for the folders alone. By default, classes are the folders,
            or else those of the only table that lies beside the images. For Parquet, the column of classes, for
            CelebA, the attribute.
        window: the values that become black and white in images of more than 8 bits, for instance (-160, 240).

    Raises:
        UserError: with a message of one line that names the file.

    Example:
        >>> splits = open_data("digits")
        >>> len(splits.train), len(splits.val), len(splits.test)
        (1295, 143, 359)
    """
    if not 0 < val_fraction < 1:
        raise UserError(f"the validation fraction must be between 0 and 1, not {val_fraction}")
    labels, window = None if labels is None else os.fspath(labels), checked_window(window)
    splits = _open(spec, seed, val_fraction, skip_bad_images, labels, window)
    if window is not None and splits.window is None:
        splits.notes.append("the window has no effect: these images have 8 bits")
    return splits


def _open(
    spec: str,
    seed: int,
    val_fraction: float,
    skip_bad_images: bool,
    labels: str | None,
    window: tuple[float, float] | None,
) -> DataSplits:
    """Open a data set by the kind that its name says."""
    name = one_line(spec)
    if spec == "digits":
        _refuse(name, labels)
        return _digits(seed, val_fraction)
    kind, colon, rest = spec.partition(":")
    if colon and kind in _REGISTERED:
        _refuse(name, labels)
        return _REGISTERED[kind](rest, seed, val_fraction)
    if colon and kind in NAMED:
        return _open_benchmark(
            DataRequest(kind, _path(rest), name, seed, val_fraction, skip_bad_images, labels)
        )
    files = partial(
        _open_tree,
        name=name,
        seed=seed,
        val_fraction=val_fraction,
        skip_bad_images=skip_bad_images,
        labels=labels,
        window=window,
    )
    if spec.startswith(HUB):
        folder, names = download_hub_data(spec)
        return files(Folder(folder, names))
    path = _path(spec)
    if os.path.isdir(path):
        if labels is None:
            _check_for_named(path, name)
        return files(Folder(path))
    if os.path.isfile(path) and path.suffix.lower() == ".npz":
        _refuse(name, labels)
        return open_npz(path, name, seed=seed, val_fraction=val_fraction)
    if os.path.isfile(path) and path.suffix.lower() == ".parquet":
        return files(Folder(path.parent, [path.name]))
    if os.path.isfile(path) and (path.suffix.lower() == ".zip" or zipfile.is_zipfile(path)):
        return files(Archive(path))
    if os.path.isfile(path):
        raise UserError(f"{name} is a {path.suffix or 'plain'} file; data can be {', '.join(KINDS)}")
    if kind in NAMED:
        raise UserError(f"{kind} needs a folder: --data {kind}:DIR")
    raise UserError(missing_data(path))


def _open_tree(tree: Tree, name: str, labels: str | None, **options: Any) -> DataSplits:
    """Open image files, or Parquet files where a folder has these and no images."""
    if isinstance(tree, Folder) and parquet_files(tree) and not any(map(looks_like_image, tree.names)):
        images, labelled = label_parquet(tree, name, None if labels == NONE else labels)
        return open_labelled(images, labelled, name, **options)
    if not isinstance(tree, Folder) and any(file.lower().endswith(".parquet") for file in tree.names):
        raise UserError(f"{name}: an archive of Parquet files; unpack it, and use the folder")
    return open_files(tree, name, labels=labels, **options)


def _refuse(name: str, labels: str | None) -> None:
    """Refuse a table of labels for data that has labels of its own."""
    if labels not in (None, NONE):
        raise UserError(f"{name} has labels of its own; leave out --labels")


def _path(text: str) -> Path:
    if not text.strip():
        raise UserError(f"no data given; data can be {', '.join(KINDS)}")
    try:
        return Path(text).expanduser()
    except RuntimeError:  # ~nobody
        return Path(text)


def _check_for_named(folder: Path, name: str) -> None:
    for kind, patterns in MARKS.items():
        if all(any(folder.glob(pattern)) for pattern in patterns):
            raise UserError(f"{name}: contains the data for {kind}; use --data {kind}")


def _digits(seed: int, val_fraction: float) -> DataSplits:
    splits = open_digits(seed=seed, val_fraction=val_fraction)
    if os.path.isdir("digits"):
        splits.notes.append("these are the embedded digits; for the folder of that name use ./digits")
    return splits


def _open_benchmark(request: DataRequest) -> DataSplits:
    """Open a published data set."""
    kind, place = request.kind, request.place
    if kind not in CHOOSES_LABELS:
        _refuse(request.name, request.labels)
    if os.path.isfile(place):
        raise UserError(on_archives(place.parent, [place.name], kind))
    if not os.path.isdir(place):
        raise UserError(f"{kind}:DIR needs the folder with {kind}'s files; {missing_data(place)}")
    return BENCHMARKS[kind](request)
