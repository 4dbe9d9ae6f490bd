"""Read the annotated regions of a source's images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from resemblance.config.image import ImageSpec
from resemblance.data.geometry import Preparation, clipped
from resemblance.data.regions.regions import Regions
from resemblance.data.sources.source import Source


class RegionReader(ABC):
    """The annotated regions of the images of a source.

    Attributes:
        source: the images.
        kind: "masks", "boxes" or "points".
        names: the names of the parts.
        missing: indices of the images without any annotation, which count as images without visible regions.
        notes: messages for the user.
    """

    source: Source
    kind: str
    names: tuple[str, ...]
    missing: tuple[int, ...] = ()
    notes: list[str]

    @abstractmethod
    def batch(self, indices: Sequence[int], spec: ImageSpec) -> Regions:
        """Return the regions of the images at ``indices`` of the source, at the size that the model reads."""

    def preparation(self, index: int, spec: ImageSpec) -> Preparation:
        """Return how the image at ``index`` is laid over the model's input."""
        return Preparation.of(spec, self.shape(index))

    def shape(self, index: int) -> tuple[int, int]:
        """Return height and width of the image at ``index``."""
        height, width = (int(side) for side in self.source.shapes[index, :2])
        return height, width


class TableReader(RegionReader):
    """Boxes or points of all images, in memory.

    Args:
        source: the images.
        values: (N, columns, 4) boxes or (N, columns, 2) points in pixels of the images, float64.
        visible: (N, columns) bool.
        parts: (columns,) int64, the part of each column.
        names: the names of the parts.
        missing: indices of the images without any annotation.
        notes: messages for the user.

    Example:
        >>> from resemblance.data.sources.source import ArraySource
        >>> source = ArraySource(np.zeros((1, 10, 20, 1), np.uint8), [0], ["cat"])
        >>> reader = TableReader(source, np.array([[[10.0, 5.0]]]), np.ones((1, 1), bool), [0], ("eye",))
        >>> reader.batch([0], ImageSpec(8, 8, 1, (0.5,), (0.5,))).points.tolist()
        [[[4.0, 4.0]]]
    """

    def __init__(
        self,
        source: Source,
        values: NDArray[np.float64],
        visible: NDArray[np.bool_],
        parts: Sequence[int],
        names: tuple[str, ...],
        missing: tuple[int, ...] = (),
        notes: Sequence[str] = (),
    ) -> None:
        self.source, self.values, self.visible = source, values, visible
        self.parts, self.names, self.missing, self.notes = list(parts), names, missing, list(notes)
        self.kind = "boxes" if values.shape[-1] == 4 else "points"

    def batch(self, indices: Sequence[int], spec: ImageSpec) -> Regions:
        """Return the regions of the images at ``indices``; what the model does not see is not visible."""
        rows = [int(index) for index in indices]
        values, visible = self.values[rows].copy(), self.visible[rows].copy()
        for row, index in enumerate(rows):
            values[row] = self.preparation(index, spec).to_input(values[row])
        if self.kind == "boxes":
            values = clipped(values, spec.size)
            visible &= (values[..., 2:] > values[..., :2]).all(axis=-1)
            boxes, points = torch.from_numpy(values), None
        else:
            inside = (values >= 0) & (values <= np.array([spec.width, spec.height]))
            visible &= inside.all(axis=-1)
            boxes, points = None, torch.from_numpy(values)
        return Regions(
            spec.size,
            boxes=boxes,
            points=points,
            visible=torch.from_numpy(visible),
            parts=torch.tensor(self.parts, dtype=torch.int64),
            names=self.names,
        )
