"""Sources of image files in a folder or an archive."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resemblance.config.errors import UserError
from resemblance.data.images import BRIGHTEST, read_image
from resemblance.data.progress import track
from resemblance.data.sources.layout import find_layout, listed
from resemblance.data.sources.source import DataSplits, Source, Subset, picture
from resemblance.data.sources.split import complete
from resemblance.data.sources.tree import Tree
from resemblance.data.text import one_line

CHUNK = 200  # images checked between two steps of the progress bar
IN_MEMORY = 1 << 29  # decoded images are kept up to this many bytes
DARK = 1 << 14  # 16-bit images below this value were made with fewer bits: 10, 12 or 14


class _CheckedImage(NamedTuple):
    """The result of checking an image: shape, pixels if they are to be kept, and largest value, see `BRIGHTEST`."""

    shape: tuple[int, int, int]
    pixels: NDArray[np.uint8] | None
    brightest: int | None


class FileSource(Source):
    """Images of a tree of files, decoded when they are read.

    Args:
        tree: the files.
        names: the files of the images.
        labels: (N,).
        classes: the class names.

    Attributes:
        array: set by `check` if all images have the same size and need at most `IN_MEMORY` bytes, so that small
            images are decoded once and not in every epoch.
        brightest: index → largest value, up to 65535, of each 16-bit image; set by `check`.
    """

    def __init__(
        self, tree: Tree, names: Sequence[str], labels: Sequence[int], classes: Sequence[str]
    ) -> None:
        self.tree = tree
        self.names = list(names)
        self.labels = np.array(labels, dtype=np.int64)
        self.classes = tuple(classes)
        self.shapes = np.zeros((len(self.names), 3), dtype=np.int64)
        self.brightest: dict[int, int] = {}
        self._keeping = True

    def read(self, index: int) -> Image.Image:
        """Return the image at ``index``, decoded now or when it was checked."""
        if self.array is None or not self.shapes[index].any():
            return self._decode(index)
        return picture(self.array[index])

    def _decode(self, index: int) -> Image.Image:
        name = self.names[index]
        return read_image(self.tree.read(name), self.tree.shown(name))

    def name(self, index: int) -> str:
        """Return the path within the tree."""
        return one_line(self.names[index])

    def stamp(self, index: int) -> str:
        """Return the stamp of the image's file: that file's name, size and time, or its checksum in an archive."""
        name = self.names[index]
        return f"{name} {self.tree.stamp(name)}"

    def check(self) -> dict[int, str]:
        """Decode every image once: fill `shapes`, and return the reason for each one that cannot be read."""
        reasons: dict[int, str] = {}
        chunks = [range(start, min(start + CHUNK, len(self))) for start in range(0, len(self), CHUNK)]
        with ThreadPoolExecutor(4) as pool:
            for chunk in track(chunks, "checking images"):
                for index, checked in zip(chunk, pool.map(self._check_image, chunk), strict=True):
                    if isinstance(checked, str):
                        reasons[index] = checked
                        continue
                    self.shapes[index] = checked.shape
                    self._keep(index, checked)
                    if checked.brightest is not None:
                        self.brightest[index] = checked.brightest
        return reasons

    def _keep(self, index: int, image: _CheckedImage) -> None:
        """Keep the pixels, as long as all images so far have the same size."""
        if self._keeping and self.array is None and image.pixels is not None:
            self.array = np.zeros((len(self), *image.shape), dtype=np.uint8)
        if self.array is not None and self.array.shape[1:] == image.shape and image.pixels is not None:
            self.array[index] = image.pixels
        else:
            self._keeping, self.array = False, None

    def _check_image(self, index: int) -> _CheckedImage | str:
        try:
            image = self._decode(index)
        except UserError as error:
            return str(error)
        shape = image.height, image.width, len(image.getbands())
        small = self._keeping and math.prod(shape) * len(self) <= IN_MEMORY
        pixels = np.asarray(image).reshape(shape) if small else None
        return _CheckedImage(shape, pixels, image.info.get(BRIGHTEST))


def open_files(tree: Tree, name: str, *, seed: int, val_fraction: float, skip_bad_images: bool) -> DataSplits:
    """Open class folders below a tree's root, or below ``train``, ``val`` and ``test`` in it.

    Raises:
        UserError: for another layout; unless bad images are to be skipped, also for an empty class folder or an image
            that cannot be read.
    """
    layout = find_layout(tree, name)
    notes = list(layout.notes)
    sources: dict[str, Source] = {}
    deep: dict[str, int] = {}
    for part, folder in layout.parts.items():
        files = _below(tree, folder, layout.classes)
        sources[part] = _readable(files, part if layout.split else "", skip_bad_images, notes)
        deep |= {files.name(index): value for index, value in files.brightest.items()}
    notes += _on_dark(deep)
    counts = np.bincount(sources["train"].labels, minlength=len(layout.classes))
    empty = [class_name for class_name, count in zip(layout.classes, counts, strict=True) if count == 0]
    if empty:
        if not skip_bad_images:
            raise UserError(
                f"{name}: class folder {empty[0]!r} contains no images; remove it, or leave it out with "
                "--skip-bad-images"
            )
        sources = _without(sources, empty, name, notes)
    for part in [part for part, source in sources.items() if not len(source)]:
        notes.append(f"the {part} folder contains no images and is ignored")
        del sources[part]
    notes += _on_absent(sources)
    hold_test = not layout.split
    return complete(sources, name, notes, seed=seed, val_fraction=val_fraction, hold_test=hold_test)


def _below(tree: Tree, folder: str, classes: list[str]) -> FileSource:
    """Return the files below each class folder, at any depth, class by class."""
    start = len(folder) + 1 if folder else 0
    numbers = {class_name: label for label, class_name in enumerate(classes)}
    labelled_files = []
    for file in tree.names:
        class_name, slash, _ = file[start:].partition("/")
        if slash and class_name in numbers and (not folder or file.startswith(folder + "/")):
            labelled_files.append((numbers[class_name], file))
    labelled_files.sort()
    labels = [label for label, _ in labelled_files]
    return FileSource(tree, [file for _, file in labelled_files], labels, classes)


def _readable(source: FileSource, part: str, skip: bool, notes: list[str]) -> Source:
    bad = source.check()
    if not bad:
        return source
    reasons = list(bad.values())
    if not skip:
        more = f" ({len(bad) - 1} more bad file{'s' if len(bad) > 2 else ''})" if len(bad) > 1 else ""
        raise UserError(f"{reasons[0]}{more}; repair or remove it, or use --skip-bad-images")
    count = "1 image" if len(bad) == 1 else f"{len(bad)} images"
    notes.append(f"{count} skipped{' in ' + part if part else ''}: {listed(reasons)}")
    return Subset(source, np.array([i for i in range(len(source)) if i not in bad], dtype=np.int64))


def _on_absent(sources: dict[str, Source]) -> list[str]:
    """Return a note for each split without images of some classes."""
    notes = []
    for part in [part for part in ("train", "val", "test") if part in sources]:
        source = sources[part]
        counts = np.bincount(source.labels, minlength=len(source.classes))
        if not counts.all():
            absent = [source.classes[label] for label in np.flatnonzero(counts == 0)]
            notes.append(f"no {part} images of {listed(absent)}")
    return notes


def _on_dark(deep: dict[str, int]) -> list[str]:
    """Return a note if all 16-bit images are so dark that their white is probably not 65535."""
    if not deep or max(deep.values()) >= DARK:
        return []
    brightest = max(deep, key=lambda name: deep[name])
    return [
        f"16-bit images have values up to {deep[brightest]:,} of 65,535 ({brightest}), and so are dark, with only "
        f"{deep[brightest] // 257 + 1} shades: {listed(list(deep), 3)}; if their white is not 65,535, "
        "scale their values, or save them with 8 bits"
    ]


def _without(sources: dict[str, Source], empty: list[str], name: str, notes: list[str]) -> dict[str, Source]:
    """Return the images of the other classes, with new class numbers."""
    before = sources["train"].classes
    left_out = set(empty)
    classes = tuple(class_name for class_name in before if class_name not in left_out)
    if len(classes) < 2:
        raise UserError(f"{name}: fewer than two classes have readable images; training needs two")
    numbers = {class_name: label for label, class_name in enumerate(classes)}
    renumbered = np.array([numbers.get(class_name, -1) for class_name in before])
    kept: dict[str, Source] = {}
    for part, source in sources.items():
        subset = Subset(source, np.flatnonzero(renumbered[source.labels] >= 0))
        subset.classes, subset.labels = classes, renumbered[subset.labels]
        kept[part] = subset
    lost = sum(len(source) for source in sources.values()) - sum(len(source) for source in kept.values())
    also = f", also their {lost} images in the other splits" if lost else ""
    count = "1 class" if len(empty) == 1 else f"{len(empty)} classes"
    notes.append(f"{count} without training images left out: {listed(empty)}{also}")
    return kept
