"""Sources of labelled images."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from resemblance.config.image import ImageSpec
from resemblance.data.pixels.pixel_cache import PixelCache
from resemblance.data.transforms import scaled, to_pixels

Indices = Sequence[int] | NDArray[np.int64]


class Source(ABC):
    """Labelled images, read one by one.

    Attributes:
        classes: the class names; labels index them.
        labels: (N,) int64.
        shapes: (N, 3) height, width and channels of each image.
        array: (N, H, W, C) uint8 if all images are in memory and have the same size, else None.
        groups: (N,) the number of the group (patient, camera) of each image, -1 for none; None if the data has none.
        contents: (N,) uint64, a hash of each image's file, by which copies are found; None if there are no files.
        varied: whether training sees another `view` of an image in each epoch.
        kept: the pixels of images that a model has read before; None if they are not kept.
    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    shapes: NDArray[np.int64]
    array: NDArray[np.uint8] | None = None
    groups: NDArray[np.int64] | None = None
    contents: NDArray[np.uint64] | None = None
    varied: bool = False
    kept: PixelCache | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def read(self, index: int) -> Image.Image:
        """Return the image at ``index``: mode L or RGB, 8 bit, with its EXIF orientation applied."""

    def pixels(self, index: int, spec: ImageSpec) -> NDArray[np.uint8]:
        """Return the pixels (H, W, C) of the image at ``index`` as a model of ``spec`` reads it, kept or read now."""
        kept = None if self.kept is None else self.kept.get(index, spec)
        if kept is not None:
            return kept
        pixels = self.read_pixels(index, spec)
        if self.kept is not None:
            self.kept.put(index, spec, pixels)
        return pixels

    def read_pixels(self, index: int, spec: ImageSpec) -> NDArray[np.uint8]:
        """Read the pixels (H, W, C) of the image at ``index`` for a model of ``spec``.

        Sources of files override this, to decode large JPEGs at a fraction of their size.
        """
        return to_pixels(self.read(index), spec)

    def tensor(self, index: int, spec: ImageSpec) -> Tensor:
        """Return the image at ``index`` as a model of ``spec`` reads it: (C, H, W) in [0, 1]."""
        return scaled(self.pixels(index, spec)[None])[0]

    @abstractmethod
    def name(self, index: int) -> str:
        """Return the name of the image at ``index`` for messages and reports."""

    def view(self, index: int, rng: np.random.Generator) -> Image.Image:
        """Return the image at ``index`` as training sees it in an epoch; by default what `read` returns.

        For sources that are `varied`: what reads images without augmentation, such as projection, does not see views.
        """
        return self.read(index)

    def stamp(self, index: int) -> str:
        """Return a text that changes whenever the image at ``index`` does; by default a checksum of its pixels."""
        image = self.read(index)
        return f"{image.mode} {image.size} {hashlib.sha256(image.tobytes()).hexdigest()}"


def picture(pixels: NDArray[np.uint8]) -> Image.Image:
    """Convert pixels (H, W, C), C 1 or 3, to a picture of mode L or RGB."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


class ArraySource(Source):
    """Images in memory.

    Args:
        array: (N, H, W, C) uint8, C 1 or 3.
        labels: (N,).
        classes: the class names.
        prefix: the prefix of the images' names.

    Example:
        >>> source = ArraySource(np.zeros((2, 8, 8, 1), np.uint8), [0, 1], ["cat", "dog"])
        >>> source.read(1).mode, source.name(1)
        ('L', 'image #1')
    """

    def __init__(
        self, array: NDArray[np.uint8], labels: Indices, classes: Sequence[str], prefix: str = "image"
    ) -> None:
        self.array = array
        self.labels = np.asarray(labels, dtype=np.int64)
        self.classes = tuple(classes)
        self.shapes = np.broadcast_to(np.array(array.shape[1:], dtype=np.int64), (len(array), 3))
        self._prefix = prefix

    def read(self, index: int) -> Image.Image:
        """Return the image at ``index``."""
        assert self.array is not None
        return picture(self.array[index])

    def name(self, index: int) -> str:
        """Return the prefix and the number."""
        return f"{self._prefix} #{index}"


class Subset(Source):
    """Some images of another source.

    Args:
        source: the other source; for a subset of a subset, the original source is used.
        indices: (N,) indices of the images in it.
    """

    def __init__(self, source: Source, indices: Indices) -> None:
        chosen = np.asarray(indices, dtype=np.int64)
        self.classes = source.classes
        self.labels = source.labels[chosen]
        self.shapes = source.shapes[chosen]
        self.array = None if source.array is None else source.array[chosen]
        self.groups = None if source.groups is None else source.groups[chosen]
        self.contents = None if source.contents is None else source.contents[chosen]
        self.varied = source.varied
        self.source, self.indices = source, chosen
        if isinstance(source, Subset):
            self.source, self.indices = source.source, source.indices[chosen]

    def read(self, index: int) -> Image.Image:
        """Return the image at ``index`` of the subset."""
        return self.source.read(int(self.indices[index]))

    def view(self, index: int, rng: np.random.Generator) -> Image.Image:
        """Return the view of the image in the other source."""
        return self.source.view(int(self.indices[index]), rng)

    def pixels(self, index: int, spec: ImageSpec) -> NDArray[np.uint8]:
        """Return the pixels of the image at ``index`` of the subset, as a model reads it."""
        return self.source.pixels(int(self.indices[index]), spec)

    def name(self, index: int) -> str:
        """Return the name of the image in the other source."""
        return self.source.name(int(self.indices[index]))

    def stamp(self, index: int) -> str:
        """Return the stamp of the image in the other source."""
        return self.source.stamp(int(self.indices[index]))


@dataclass
class DataSplits:
    """Training, validation and test images, with notes.

    Args:
        train: for training, projection and clustering.
        val: for model selection; possibly empty.
        test: for the final figures; None if the data has none.
        classes: the class names.
        name: the name of the data as the user wrote it.
        notes: messages for the user, for instance which images were skipped.
        window: the values of images of more than 8 bits that are read as black and white, if they were given.
    """

    train: Source
    val: Source
    test: Source | None
    classes: tuple[str, ...]
    name: str
    notes: list[str] = field(default_factory=list)
    window: tuple[float, float] | None = None
