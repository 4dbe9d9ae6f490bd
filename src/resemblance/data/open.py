"""Data sets by the name that the user gives."""

from __future__ import annotations

import difflib
import zipfile
from collections.abc import Callable
from pathlib import Path

from resemblance.config.errors import UserError
from resemblance.data.arrays import (
    CIFAR10,
    DIGITS,
    FASHION,
    open_cifar_binary,
    open_digits,
    open_idx,
    open_npz,
)
from resemblance.data.files import FileSource, open_files, split_up
from resemblance.data.source import DataSplits
from resemblance.data.tree import Archive, Folder

KINDS = ("digits", "mnist:DIR", "fashion-mnist:DIR", "cifar10:DIR", "a folder", "a .zip", "a MedMNIST .npz")


def open_data(
    spec: str, *, seed: int = 0, val_fraction: float = 0.1, skip_bad_images: bool = False
) -> DataSplits:
    """Open a data set; every image file is decoded once, so that a bad one is found now and not in the third epoch.

    Args:
        spec: a folder of class folders (with ``train/``, ``val/``, ``test/`` or without), the same in a .zip, a
            MedMNIST .npz, ``mnist:DIR``, ``fashion-mnist:DIR``, ``cifar10:DIR``, or ``digits``.
        seed: of the splits that the data do not bring themselves.
        val_fraction: share of the training images that becomes validation where there is none.
        skip_bad_images: leave unreadable files out, and say so in the notes, instead of stopping.

    Raises:
        UserError: in one line that names the file.

    Example:
        >>> splits = open_data("digits")
        >>> len(splits.train), len(splits.val), len(splits.test)
        (1294, 144, 359)
    """
    if not 0 < val_fraction < 1:
        raise UserError(f"the validation fraction must lie between 0 and 1, not {val_fraction}")
    if spec == "digits" and not Path(spec).exists():
        return open_digits(seed=seed, val_fraction=val_fraction)
    kind, colon, rest = spec.partition(":")
    named = _named(spec, seed, val_fraction, skip_bad_images)
    if colon and kind in named:
        folder = Path(rest).expanduser()
        if not rest or not folder.is_dir():
            raise UserError(f"{kind}:DIR needs the folder that holds {kind}'s files; {_missing(folder)}")
        return named[kind](folder)
    path = Path(spec).expanduser()
    if path.is_dir():
        return open_files(Folder(path), spec, skip_bad_images=skip_bad_images, seed=seed, val_fraction=val_fraction)
    if path.is_file() and path.suffix.lower() == ".npz":
        return open_npz(path, spec, seed=seed, val_fraction=val_fraction)
    if path.is_file() and (path.suffix.lower() == ".zip" or zipfile.is_zipfile(path)):
        return open_files(Archive(path), spec, skip_bad_images=skip_bad_images, seed=seed, val_fraction=val_fraction)
    if path.is_file():
        raise UserError(f"{spec} is a {path.suffix or 'plain'} file; data are {', '.join(KINDS)}")
    if kind in named:
        raise UserError(f"{kind} needs its folder: --data {kind}:DIR")
    raise UserError(_missing(path))


def _named(spec: str, seed: int, val_fraction: float, skip: bool) -> dict[str, Callable[[Path], DataSplits]]:
    return {
        "mnist": lambda folder: open_idx(folder, spec, DIGITS, seed=seed, val_fraction=val_fraction),
        "fashion-mnist": lambda folder: open_idx(folder, spec, FASHION, seed=seed, val_fraction=val_fraction),
        "cifar10": lambda folder: _open_cifar(folder, spec, seed, val_fraction, skip),
    }


def _open_cifar(folder: Path, name: str, seed: int, val_fraction: float, skip: bool) -> DataSplits:
    """CIFAR-10 as train.zip and test.zip of JPEG files, as folders of images, or in its binary version."""
    for place in (folder, folder / "cifar-10-batches-bin"):
        if (place / "test_batch.bin").is_file():
            return open_cifar_binary(place, name, seed=seed, val_fraction=val_fraction)
    if not (folder / "train.zip").is_file() or not (folder / "test.zip").is_file():
        if (folder / "train").is_dir():
            return open_files(Folder(folder), name, skip_bad_images=skip, seed=seed, val_fraction=val_fraction)
        raise UserError(f"{folder}: has neither train.zip and test.zip nor data_batch_1.bin to test_batch.bin")
    sources, notes = [], []
    for part in ("train", "test"):
        tree = Archive(folder / f"{part}.zip")
        names = [n for n in tree.names if len(n.split("/")) >= 2 and n.split("/")[-2] in CIFAR10]
        source = FileSource(tree, names, [CIFAR10.index(n.split("/")[-2]) for n in names], CIFAR10)
        bad = source.check()
        if bad:
            raise UserError(next(iter(bad.values())))
        sources.append(source)
    return split_up(sources[0], None, sources[1], name, seed, val_fraction, True, notes)


def _missing(path: Path) -> str:
    parent = path.parent if str(path.parent) else Path(".")
    near = []
    if parent.is_dir():
        near = difflib.get_close_matches(path.name, [entry.name for entry in parent.iterdir()], 1)
    hint = f"did you mean {parent / near[0]}?" if near else f"data are {', '.join(KINDS)}"
    return f"no such data: {path}; {hint}"
