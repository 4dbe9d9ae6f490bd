"""A source whose images are changed before anything else is done to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from resemblance.data.sources.source import Source, picture


class ChangedSource(Source):
    """The images of another source, all or those of some classes after a change of each picture at its own size.

    Args:
        source: the other source.
        change: picture → picture of the same size and mode; it depends on nothing but the picture.
        words: the change in words, by which stamps of the images differ.
        classes: indices of the classes whose images are changed; by default all.

    Attributes:
        source: the other source, with the images as they are.
        changed: (N,) bool, which images are changed.

    Example:
        >>> from resemblance.data.sources.source import ArraySource
        >>> grey = ArraySource(np.full((2, 8, 8, 1), 100, np.uint8), [0, 1], ["cat", "dog"])
        >>> source = ChangedSource(grey, lambda image: image.point(lambda level: level // 2), "half", [1])
        >>> [source.read(index).getpixel((0, 0)) for index in range(2)]
        [100, 50]
    """

    def __init__(
        self,
        source: Source,
        change: Callable[[Image.Image], Image.Image],
        words: str,
        classes: Sequence[int] | None = None,
    ) -> None:
        self.source, self.change, self.words = source, change, words
        self.classes, self.labels, self.shapes = source.classes, source.labels, source.shapes
        self.varied = source.varied
        everything = np.ones(len(source), dtype=bool)
        self.changed = (
            everything if classes is None else np.isin(source.labels, np.asarray(classes, dtype=np.int64))
        )
        if source.array is not None:
            self.array = source.array.copy()
            for index in np.flatnonzero(self.changed):
                pixels = np.asarray(change(picture(self.array[index])))
                self.array[index] = pixels.reshape(self.array.shape[1:])

    def read(self, index: int) -> Image.Image:
        """Return the image at ``index``, changed if its class is among the chosen ones."""
        if self.array is not None:
            return picture(self.array[index])
        image = self.source.read(index)
        return self.change(image) if self.changed[index] else image

    def view(self, index: int, rng: np.random.Generator) -> Image.Image:
        """Return the view of the image at ``index``, changed if its class is among the chosen ones."""
        if not self.varied:
            return self.read(index)
        image = self.source.view(index, rng)
        return self.change(image) if self.changed[index] else image

    def name(self, index: int) -> str:
        """Return the name of the image in the other source."""
        return self.source.name(index)

    def stamp(self, index: int) -> str:
        """Return the stamp of the image in the other source, with the change if there is one."""
        stamp = self.source.stamp(index)
        return f"{self.words} of {stamp}" if self.changed[index] else stamp
