"""Image files of a folder or an archive as sources."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from resemblance.config.errors import UserError
from resemblance.data.images import read_image
from resemblance.data.layout import find_layout, listed
from resemblance.data.progress import track
from resemblance.data.source import DataSplits, Source, Subset
from resemblance.data.split import complete
from resemblance.data.text import one_line
from resemblance.data.tree import Tree

CHUNK = 200  # images checked between two steps of the progress bar


class FileSource(Source):
    """Images of a tree of files, decoded when they are read.

    Args:
        tree: the files.
        names: of the images.
        labels: (N,).
        classes: the class names.
    """

    def __init__(
        self, tree: Tree, names: Sequence[str], labels: Sequence[int], classes: Sequence[str]
    ) -> None:
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
        return one_line(self.names[index])

    def check(self) -> dict[int, str]:
        """Decode every image once: fill `shapes`, and return the reason for each one that cannot be read."""
        reasons: dict[int, str] = {}
        chunks = [range(start, min(start + CHUNK, len(self))) for start in range(0, len(self), CHUNK)]
        with ThreadPoolExecutor(4) as pool:
            for chunk in track(chunks, "checking images"):
                for index, found in zip(chunk, pool.map(self._look, chunk), strict=True):
                    if isinstance(found, str):
                        reasons[index] = found
                    else:
                        self.shapes[index] = found
        return reasons

    def _look(self, index: int) -> tuple[int, int, int] | str:
        try:
            image = self.read(index)
        except UserError as error:
            return str(error)
        return image.height, image.width, len(image.getbands())


def open_files(tree: Tree, name: str, *, seed: int, val_fraction: float, skip_bad_images: bool) -> DataSplits:
    """Class folders below a tree's root, or below ``train``, ``val`` and ``test`` in it.

    Raises:
        UserError: for a layout that is none of these, an empty class folder or an image that cannot be read,
            unless bad images are to be skipped.
    """
    layout = find_layout(tree, name)
    notes = list(layout.notes)
    sources: dict[str, Source] = {}
    for part, folder in layout.parts.items():
        source = _below(tree, folder, layout.classes)
        sources[part] = _readable(source, part if layout.split else "", skip_bad_images, notes)
    counts = np.bincount(sources["train"].labels, minlength=len(layout.classes))
    empty = [class_name for class_name, count in zip(layout.classes, counts, strict=True) if count == 0]
    if empty:
        if not skip_bad_images:
            raise UserError(
                f"{name}: class folder {empty[0]!r} holds no images; remove it, or go on without it with "
                "--skip-bad-images"
            )
        sources = _without(sources, empty, name, notes)
    for part in [part for part, source in sources.items() if not len(source)]:
        notes.append(f"the {part} folder holds no images and counts as missing")
        del sources[part]
    hold_test = not layout.split
    return complete(sources, name, notes, seed=seed, val_fraction=val_fraction, hold_test=hold_test)


def _below(tree: Tree, folder: str, classes: list[str]) -> FileSource:
    """The files below each class folder, at any depth, class by class."""
    start = len(folder) + 1 if folder else 0
    numbers = {class_name: label for label, class_name in enumerate(classes)}
    found = []
    for file in tree.names:
        class_name, slash, _ = file[start:].partition("/")
        if slash and class_name in numbers and (not folder or file.startswith(folder + "/")):
            found.append((numbers[class_name], file))
    found.sort()
    return FileSource(tree, [file for _, file in found], [label for label, _ in found], classes)


def _readable(source: FileSource, part: str, skip: bool, notes: list[str]) -> Source:
    bad = source.check()
    if not bad:
        return source
    reasons = list(bad.values())
    if not skip:
        more = f" ({len(bad) - 1} more bad files)" if len(bad) > 1 else ""
        raise UserError(f"{reasons[0]}{more}; remove it, or use --skip-bad-images")
    notes.append(f"{len(bad)} images skipped{' in ' + part if part else ''}: {listed(reasons)}")
    return Subset(source, np.array([i for i in range(len(source)) if i not in bad], dtype=np.int64))


def _without(sources: dict[str, Source], empty: list[str], name: str, notes: list[str]) -> dict[str, Source]:
    """The images of the other classes, labelled anew."""
    before = sources["train"].classes
    classes = tuple(class_name for class_name in before if class_name not in empty)
    if len(classes) < 2:
        raise UserError(f"{name}: fewer than two classes have images that can be read; training needs two")
    renumbered = np.array([classes.index(c) if c in classes else -1 for c in before])
    kept: dict[str, Source] = {}
    for part, source in sources.items():
        subset = Subset(source, np.flatnonzero(renumbered[source.labels] >= 0))
        subset.classes, subset.labels = classes, renumbered[subset.labels]
        kept[part] = subset
    lost = sum(len(source) for source in sources.values()) - sum(len(source) for source in kept.values())
    also = f", and with them {lost} images of the other splits" if lost else ""
    notes.append(f"{len(empty)} classes without training images left out: {listed(empty)}{also}")
    return kept
