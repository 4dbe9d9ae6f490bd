"""The images of a source after a change, for loaders, and several versions of a batch at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from resemblance.audit.shifts.image_changes import ImageChange
from resemblance.config.image import ImageSpec
from resemblance.data.sources.compressed import CompressedSource
from resemblance.data.sources.source import Source, Subset
from resemblance.data.transforms import scaled, to_pixels


class ShiftedSource(Source):
    """The images of another source after a change of each picture at its own size.

    Args:
        source: the other source.
        change: the change.
        seed: of the change's noise.
        only: indices of the classes whose images are changed; by default all.

    Attributes:
        source: the other source, with the images as they are.
        changed: (N,) bool, which images are changed.

    Example:
        >>> from resemblance.audit.shifts.image_changes import CHANGES
        >>> from resemblance.data.sources.source import ArraySource
        >>> grey = ArraySource(np.full((2, 8, 8, 1), 100, np.uint8), [0, 1], ["cat", "dog"])
        >>> source = ShiftedSource(grey, CHANGES["darker"], only=[1])
        >>> [source.read(index).getpixel((0, 0)) for index in range(2)]
        [100, 70]
    """

    def __init__(
        self, source: Source, change: ImageChange, *, seed: int = 0, only: Sequence[int] | None = None
    ) -> None:
        self.source, self.change, self.seed = source, change, seed
        self.classes, self.labels, self.shapes = source.classes, source.labels, source.shapes
        self.changed = np.ones(len(source), dtype=bool) if only is None else np.isin(source.labels, only)

    def read(self, index: int) -> Image.Image:
        """Return the image at ``index`` after the change."""
        image = self.source.read(index)
        return self.change(image, self.seed) if self.changed[index] else image

    def name(self, index: int) -> str:
        """Return the name of the image in the other source."""
        return self.source.name(index)

    def stamp(self, index: int) -> str:
        """Return the stamp of the image in the other source, with the change if there is one."""
        stamp = self.source.stamp(index)
        return f"{self.change.words}, seed {self.seed}, of {stamp}" if self.changed[index] else stamp


def originals(source: Source) -> tuple[Source, NDArray[np.bool_] | None]:
    """Return images as they were before those of some classes were compressed for training, and which ones were.

    Args:
        source: the images; also a subset of a `CompressedSource`.

    Returns:
        The images, and (N,) bool; the source itself and None if none was compressed.
    """
    if isinstance(source, CompressedSource):
        return source.source, source.compressed
    if isinstance(source, Subset) and isinstance(source.source, CompressedSource):
        return Subset(source.source.source, source.indices), source.source.compressed[source.indices]
    return source, None


def read_versions(
    source: Source,
    positions: Sequence[int] | Tensor,
    changes: Sequence[ImageChange],
    spec: ImageSpec,
    seed: int = 0,
) -> Tensor:
    """Read images once, and return them as they are and after each change.

    Args:
        source: the images.
        positions: (B,) their positions.
        changes: V changes.
        spec: the size and the channels that the model reads.
        seed: of the changes' noise.

    Returns:
        (1 + V, B, C, H, W) in [0, 1].
    """
    rows = []
    for position in positions:
        image = source.read(int(position))
        pictures = [image, *(change(image, seed) for change in changes)]
        rows.append(np.stack([to_pixels(picture, spec) for picture in pictures]))
    if not rows:
        return torch.zeros(1 + len(changes), 0, spec.channels, *spec.size)
    pixels = np.stack(rows, axis=1)
    return scaled(pixels.reshape(-1, *pixels.shape[2:])).reshape(1 + len(changes), len(rows), -1, *spec.size)
