"""Image files of a folder or an archive: class folders, with or without folders for the splits."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from resemblance.config.errors import UserError
from resemblance.data.images import read_image
from resemblance.data.progress import track
from resemblance.data.source import DataSplits, Source, Subset
from resemblance.data.split import stratified_split
from resemblance.data.tree import Tree

TEST_FRACTION = 0.2
JUNK = {"thumbs.db", "desktop.ini", "ehthumbs.db"}
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


class FileSource(Source):
    """Images of a tree of files, decoded when they are read."""

    def __init__(self, tree: Tree, names: Sequence[str], labels: Sequence[int], classes: Sequence[str]) -> None:
        self.tree = tree
        self.names = list(names)
        self.labels = np.array(labels, dtype=np.int64)
        self.classes = tuple(classes)
        self.shapes = np.zeros((len(self.names), 3), dtype=np.int64)

    def read(self, index: int) -> Image.Image:
        """Decode the image at ``index``."""
        name = self.names[index]
        return read_image(self.tree.read(name), self.tree.shown(name))

    def name(self, index: int) -> str:
        """The path within the tree."""
        return self.names[index]

    def check(self) -> dict[int, str]:
        """Decode every image once: fill `shapes`, and return the reason for each one that cannot be read."""
        reasons: dict[int, str] = {}

        def look(index: int) -> tuple[int, int, int] | str:
            try:
                image = self.read(index)
            except UserError as error:
                return str(error)
            return image.height, image.width, len(image.getbands())

        with ThreadPoolExecutor(4) as pool:
            found = pool.map(look, range(len(self)))
            for index, shape in enumerate(track(_sized(found, len(self)), "checking images")):
                if isinstance(shape, str):
                    reasons[index] = shape
                else:
                    self.shapes[index] = shape
        return reasons


class _sized:
    """An iterable with a length, so that its progress can be shown."""

    def __init__(self, items: object, length: int) -> None:
        self.items, self.length = items, length

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self.items)  # type: ignore[call-overload]

    def __len__(self) -> int:
        return self.length


def open_files(tree: Tree, name: str, *, seed: int, val_fraction: float, skip_bad_images: bool) -> DataSplits:
    """Class folders below a tree's root, or below ``train``, ``val`` and ``test`` in it.

    Raises:
        UserError: for a layout that is none of these, an empty class folder or an image that cannot be read, unless
            bad images are to be skipped.
    """
    root, parts = _layout(tree, name)
    notes: list[str] = []
    train_folder = parts.get("train", root)
    classes = _class_folders(tree, train_folder)
    if len(classes) < 2:
        raise UserError(
            f"{name}: expected two or more class folders with images{_below(train_folder)}, found "
            f"{len(classes)}{': ' + classes[0] if classes else ''}"
        )
    sources = {}
    for part, folder in (parts or {"train": root}).items():
        sources[part] = _source(tree, folder, classes, name, part if parts else "", skip_bad_images, notes)
    train = sources["train"]
    empty = [c for i, c in enumerate(train.classes) if not (train.labels == i).any()]
    if empty:
        if not skip_bad_images:
            raise UserError(
                f"{name}: class folder {empty[0]!r} holds no images; remove it, or go on without it with "
                "--skip-bad-images"
            )
        notes.append(f"{len(empty)} empty class folders left out: {', '.join(empty[:20])}")
        left = [c for c in classes if c not in empty]
        if len(left) < 2:
            raise UserError(f"{name}: fewer than two classes have images")
        sources = {part: _without(source, left) for part, source in sources.items()}
        train = sources["train"]
    return split_up(train, sources.get("val"), sources.get("test"), name, seed, val_fraction, bool(parts), notes)


def split_up(
    train: Source,
    val: Source | None,
    test: Source | None,
    name: str,
    seed: int,
    val_fraction: float,
    official: bool,
    notes: list[str],
) -> DataSplits:
    """Complete the splits: where data bring none, test and validation images are split off, by class and seed."""
    if test is None and not official:
        stay, held = stratified_split(train.labels, TEST_FRACTION, seed)
        train, test = Subset(train, stay), Subset(train, held)
        notes.append(f"{len(held)} test images split off (a fifth of each class, seed {seed})")
    if val is None:
        stay, held = stratified_split(train.labels, val_fraction, seed)
        train, val = Subset(train, stay), Subset(train, held)
        notes.append(f"{len(held)} validation images split off training ({val_fraction:.0%} of each class, seed {seed})")
    return DataSplits(train, val, test, train.classes, name, notes)


def _layout(tree: Tree, name: str) -> tuple[str, dict[str, str]]:
    """The folder that holds the classes or splits, and the folder of each split there is."""
    root = ""
    while True:
        folders = _children(tree, root)
        files = [n for n in tree.names if str(PurePosixPath(n).parent) == (root or ".")]
        if len(folders) == 1 and not files and folders[0].lower() not in SPLITS and _children(tree, _join(root, folders[0])):
            root = _join(root, folders[0])
            continue
        break
    parts: dict[str, str] = {}
    for folder in folders:
        part = SPLITS.get(folder.lower())
        if part in parts:
            raise UserError(f"{name}: both {parts[part]!r} and {folder!r} could hold the {part} images; rename one")
        if part:
            parts[part] = _join(root, folder)
    if parts and "train" not in parts:
        if len(parts) < len(folders):
            return root, {}  # class folders that happen to be called "test"
        raise UserError(f"{name}: found {', '.join(sorted(parts))} but no train folder")
    if not folders:
        found = f"{len(files)} files but " if files else ""
        raise UserError(f"{name}: {found}no class folders; expected FOLDER/CLASS/image.jpg or FOLDER/train/CLASS/image.jpg")
    return root, parts


def _source(
    tree: Tree, folder: str, classes: list[str], name: str, part: str, skip: bool, notes: list[str]
) -> Source:
    unknown = [c for c in _class_folders(tree, folder) if c not in classes]
    if unknown:
        raise UserError(f"{name}: class {unknown[0]!r} is in {part} but not in train")
    names, labels = [], []
    for label, class_name in enumerate(classes):
        prefix = _join(folder, class_name) + "/"
        own = [n for n in tree.names if n.startswith(prefix) and PurePosixPath(n).name.lower() not in JUNK]
        names += own
        labels += [label] * len(own)
    source = FileSource(tree, names, labels, classes)
    bad = source.check()
    if bad and not skip:
        more = f" ({len(bad) - 1} more bad files)" if len(bad) > 1 else ""
        raise UserError(f"{next(iter(bad.values()))}{more}; remove it, or use --skip-bad-images")
    if not bad:
        return source
    listed = "; ".join(list(bad.values())[:20]) + (f"; and {len(bad) - 20} more" if len(bad) > 20 else "")
    notes.append(f"{len(bad)} images skipped{' in ' + part if part else ''}: {listed}")
    return Subset(source, np.array([i for i in range(len(source)) if i not in bad], dtype=np.int64))


def _without(source: Source, classes: list[str]) -> Source:
    """The images of some classes, labelled anew."""
    places = {source.classes.index(c): i for i, c in enumerate(classes)}
    kept = Subset(source, np.flatnonzero(np.isin(source.labels, list(places))))
    kept.classes = tuple(classes)
    kept.labels = np.array([places[int(label)] for label in kept.labels], dtype=np.int64)
    return kept


def _class_folders(tree: Tree, folder: str) -> list[str]:
    return sorted(_children(tree, folder))


def _children(tree: Tree, folder: str) -> list[str]:
    parent = folder or "."
    return sorted(PurePosixPath(f).name for f in tree.folders if str(PurePosixPath(f).parent) == parent)


def _join(root: str, folder: str) -> str:
    return f"{root}/{folder}" if root else folder


def _below(folder: str) -> str:
    return f" below {folder!r}" if folder else ""
