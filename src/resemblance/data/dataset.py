"""PyTorch data sets of sources: whole batches at a time, augmentation without state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import from_numpy
from torch.utils.data import Dataset

from resemblance.config.image import ImageSpec
from resemblance.data.augment import Augment
from resemblance.data.batch import Batch
from resemblance.data.compress import JpegAugment, compress
from resemblance.data.sources.source import Source
from resemblance.data.transforms import scaled, to_pixels, unchanged

Key = int | tuple[int, int]


class ImageDataset(Dataset[Batch]):
    """Images of a source at a model's size.

    A key is an index, or a pair (epoch, index) for the augmented image. An image's augmentation depends only on (seed,
    stage, epoch, index), so neither order nor workers nor resumption change it.

    Args:
        source: the images.
        spec: size and channels.
        augment: applied to images whose key has an epoch.
        seed: the seed of the run.
        stage: the number of the stage in the run.
        jpeg: compresses some of the images whose key has an epoch, before they are resized and augmented.
        views: whether images whose key has an epoch are those that `Source.view` draws, if the source is varied.

    Example:
        >>> from resemblance.data.sources.source import ArraySource
        >>> source = ArraySource(np.zeros((2, 8, 8, 1), np.uint8), [0, 1], ["cat", "dog"])
        >>> ImageDataset(source, ImageSpec(8, 8, 1, (0.5,), (0.5,))).__getitems__([1, 0]).labels
        tensor([1, 0])
    """

    def __init__(
        self,
        source: Source,
        spec: ImageSpec,
        augment: Augment | None = None,
        seed: int = 0,
        stage: int = 0,
        jpeg: JpegAugment | None = None,
        views: bool = False,
    ) -> None:
        self.source, self.spec, self.augment, self.seed, self.stage = source, spec, augment, seed, stage
        self.jpeg = jpeg if jpeg is not None and jpeg.probability else None
        self.views = views and source.varied

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: Key) -> Batch:
        return self.__getitems__([key])

    def __getitems__(self, keys: Sequence[Key]) -> Batch:
        """Return a batch of the images at ``keys``; PyTorch's loaders call this."""
        pairs = [key if isinstance(key, tuple) else (-1, int(key)) for key in keys]
        indices = np.array([index for _, index in pairs], dtype=np.int64)
        if self.views:
            images = scaled(np.stack([self._view(*pair) for pair in pairs]))
        else:
            images = scaled(self._pixels(indices, [self._compressed(*pair) for pair in pairs]))
        rows = [row for row, (epoch, _) in enumerate(pairs) if epoch >= 0]
        if self.augment is not None and rows:
            images[rows] = self.augment(images[rows], [self._random(*pairs[row]) for row in rows])
        return Batch(images, from_numpy(self.source.labels[indices]), from_numpy(indices))

    def _pixels(self, indices: NDArray[np.int64], compressed: Sequence[bool]) -> NDArray[np.uint8]:
        array = self.source.array
        if array is None or not unchanged(array.shape, self.spec):
            pairs = zip(indices.tolist(), compressed, strict=True)
            return np.stack([self._read(*pair) for pair in pairs])
        pixels = array[indices]
        for row in np.flatnonzero(compressed):
            pixels[row] = self._read(int(indices[row]), True)
        return pixels

    def _view(self, epoch: int, index: int) -> NDArray[np.uint8]:
        image = None
        if epoch >= 0:
            image = self.source.view(index, np.random.Generator(self._bits(epoch, index).jumped(2)))
        return self._read(index, self._compressed(epoch, index), image)

    def _read(self, index: int, compressed: bool, image: Image.Image | None = None) -> NDArray[np.uint8]:
        if image is None and not compressed:
            return self.source.pixels(index, self.spec)
        image = self.source.read(index) if image is None else image
        if compressed and self.jpeg is not None:
            image = compress(image, self.jpeg.quality)
        return to_pixels(image, self.spec)

    def _compressed(self, epoch: int, index: int) -> bool:
        """Draw whether an image is compressed, by numbers that its augmentation does not use."""
        if self.jpeg is None or epoch < 0:
            return False
        return self.jpeg.applies(np.random.Generator(self._bits(epoch, index).jumped()))

    def _random(self, epoch: int, index: int) -> np.random.Generator:
        return np.random.Generator(self._bits(epoch, index))

    def _bits(self, epoch: int, index: int) -> np.random.Philox:
        key = [self.seed % (1 << 64), (self.stage << 48) | (epoch << 32) | index]
        return np.random.Philox(key=np.array(key, dtype=np.uint64))
