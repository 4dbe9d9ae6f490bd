"""Training and validation images as one source, for training again after model selection."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resemblance.config.image import ImageSpec
from resemblance.data.sources.source import Source


class Joined(Source):
    """The images of two sources, those of the first before those of the second.

    Args:
        first: a source.
        second: another source with the same classes.
    """

    def __init__(self, first: Source, second: Source) -> None:
        self.first, self.second = first, second
        self.classes = first.classes
        self.labels = np.concatenate([first.labels, second.labels])
        self.shapes = np.concatenate([first.shapes, second.shapes])
        self.varied = first.varied or second.varied
        arrays = [source.array for source in (first, second) if source.array is not None]
        if len(arrays) == 2 and arrays[0].shape[1:] == arrays[1].shape[1:]:
            self.array = np.concatenate(arrays)

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int) -> Image.Image:
        """Return the image at ``index``."""
        source, index = self._find(index)
        return source.read(index)

    def view(self, index: int, rng: np.random.Generator) -> Image.Image:
        """Return the view of the image at ``index``."""
        source, index = self._find(index)
        return source.view(index, rng)

    def pixels(self, index: int, spec: ImageSpec) -> NDArray[np.uint8]:
        """Return the pixels of the image at ``index`` as a model reads it."""
        source, index = self._find(index)
        return source.pixels(index, spec)

    def name(self, index: int) -> str:
        """Return the name of the image at ``index``."""
        source, index = self._find(index)
        return source.name(index)

    def stamp(self, index: int) -> str:
        """Return the stamp of the image at ``index``."""
        source, index = self._find(index)
        return source.stamp(index)

    def _find(self, index: int) -> tuple[Source, int]:
        split = len(self.first)
        return (self.first, index) if index < split else (self.second, index - split)
