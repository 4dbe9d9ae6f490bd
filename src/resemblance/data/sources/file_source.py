"""Image files of a folder or an archive as a source: checked once, and decoded when they are read."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.data.formats.jpeg_draft import DRAFT, SMALLEST, size_in_full
from resemblance.data.formats.levels import ValueRange, Window
from resemblance.data.images import BANDS, PAGES, VALUES, read_image
from resemblance.data.progress import track
from resemblance.data.sources.source import Source, picture
from resemblance.data.sources.tree import Tree
from resemblance.data.text import one_line
from resemblance.data.transforms import to_pixels

THREADS = 8  # Pillow decodes in several at a time
CHUNK = 200  # images checked between two steps of the progress bar
IN_MEMORY = 1 << 29  # decoded images are kept up to this many bytes


class _CheckedImage(NamedTuple):
    """The result of checking an image.

    Args:
        shape: height, width and channels.
        pixels: the pixels, if they are to be kept.
        values: the range of its values of more than 8 bits.
        pages: the number of its pages or frames.
        bands: the number of its bands, if some are left out.
        plain: whether it has a single colour.
        content: a hash of the file.
    """

    shape: tuple[int, int, int]
    pixels: NDArray[np.uint8] | None
    values: ValueRange | None
    pages: int
    bands: int
    plain: bool
    content: int


class FileSource(Source):
    """Images of a tree of files, decoded when they are read.

    Args:
        tree: the files.
        names: the files of the images.
        labels: (N,).
        classes: the class names.
        window: the values that become black and white in images of more than 8 bits.

    Attributes:
        array: set by `check` if all images have the same size and need at most `IN_MEMORY` bytes, so that small
            images are decoded once and not in every epoch.
        values: index → range of the values of each image of more than 8 bits; set by `check`, as are the following.
        pages: the images that are the first of several pages or frames.
        bands: the images that are the first of two bands.
        plain: the images of a single colour.
    """

    def __init__(
        self,
        tree: Tree,
        names: Sequence[str],
        labels: Sequence[int],
        classes: Sequence[str],
        window: Window | None = None,
    ) -> None:
        self.tree = tree
        self.names = list(names)
        self.labels = np.array(labels, dtype=np.int64)
        self.classes = tuple(classes)
        self.shapes = np.zeros((len(self.names), 3), dtype=np.int64)
        self.window = window
        self.contents = np.zeros(len(self.names), dtype=np.uint64)
        self.values: dict[int, ValueRange] = {}
        self.pages: list[int] = []
        self.bands: list[int] = []
        self.plain: list[int] = []
        self._keeping = True

    def read(self, index: int) -> Image.Image:
        """Return the image at ``index``, decoded now or when it was checked."""
        if self.array is None or not self.shapes[index].any():
            return self._decode(index)
        return picture(self.array[index])

    def read_pixels(self, index: int, spec: ImageSpec) -> NDArray[np.uint8]:
        """Read the pixels of the image at ``index`` for a model."""
        return to_pixels(self._decode(index, spec) if self.array is None else self.read(index), spec)

    def _decode(self, index: int, draft_for: ImageSpec | None = None) -> Image.Image:
        name = self.names[index]
        return read_image(self.tree.read(name), self.tree.shown(name), self.window, draft_for)

    def name(self, index: int) -> str:
        """Return the path within the tree."""
        return one_line(self.names[index])

    def stamp(self, index: int) -> str:
        """Return the stamp of the image's file: its name, size and time, or its checksum in an archive; the window."""
        name = self.names[index]
        window = "" if self.window is None else f" {self.window[0]:g},{self.window[1]:g}"
        return f"{name} {self.tree.stamp(name)}{window}"

    def check(self) -> dict[int, UserError]:
        """Decode every image, large JPEGs at an eighth: fill `shapes`, and return the error of each unreadable one."""
        errors: dict[int, UserError] = {}
        chunks = [range(start, min(start + CHUNK, len(self))) for start in range(0, len(self), CHUNK)]
        with ThreadPoolExecutor(min(os.cpu_count() or 1, THREADS)) as pool:
            for chunk in track(chunks, "checking images"):
                for index, checked in zip(chunk, pool.map(self._check_image, chunk), strict=True):
                    if isinstance(checked, UserError):
                        errors[index] = checked
                    else:
                        self._note(index, checked)
        return errors

    def _note(self, index: int, image: _CheckedImage) -> None:
        assert self.contents is not None
        self.shapes[index], self.contents[index] = image.shape, image.content
        self._keep(index, image)
        if image.values is not None:
            self.values[index] = image.values
        for happens, indices in (
            (image.pages > 1, self.pages),
            (image.bands > 1, self.bands),
            (image.plain, self.plain),
        ):
            if happens:
                indices.append(index)

    def _keep(self, index: int, image: _CheckedImage) -> None:
        """Keep the pixels, as long as all images so far have the same size."""
        if self._keeping and self.array is None and image.pixels is not None:
            self.array = np.zeros((len(self), *image.shape), dtype=np.uint8)
        if self.array is not None and self.array.shape[1:] == image.shape and image.pixels is not None:
            self.array[index] = image.pixels
        else:
            self._keeping, self.array = False, None

    def _check_image(self, index: int) -> _CheckedImage | UserError:
        name = self.names[index]
        try:
            data = self.tree.read(name)
            image = read_image(data, self.tree.shown(name), self.window, SMALLEST)
        except UserError as error:
            return error
        drafted = DRAFT in image.info
        shape = *size_in_full(image), len(image.getbands())
        # What is kept is the whole file, and large JPEGs are read from it at a fraction of their size.
        small = self._keeping and not drafted and math.prod(shape) * len(self) <= IN_MEMORY
        pixels = np.asarray(image).reshape(shape) if small else None
        plain = _is_plain(image) and (not drafted or _is_plain(read_image(data)))
        content = int.from_bytes(hashlib.blake2b(data, digest_size=8).digest())
        info = image.info
        return _CheckedImage(
            shape, pixels, info.get(VALUES), info.get(PAGES, 1), info.get(BANDS, 1), plain, content
        )


def _is_plain(image: Image.Image) -> bool:
    """Check whether a picture has a single colour."""
    extrema: Any = image.getextrema()
    return all(low == high for low, high in ([extrema] if image.mode == "L" else extrema))
