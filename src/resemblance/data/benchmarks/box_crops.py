"""Images cropped to boxes, and the corner crops on which ProtoTree trains."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from resemblance.config.errors import UserError
from resemblance.data.sources.source import DataSplits, Source
from resemblance.data.text import one_line

Boxes = Mapping[str, ArrayLike]  # the box x0, y0, x1, y1 of each image, by its name
MARGIN = 0.1  # of the box, that a corner crop shows beyond it
VIEWS = 5


class BoxCrops(Source):
    """Images of another source, cropped to a box each: rounded to whole pixels, and cut off at the image's edge.

    Args:
        source: the other source.
        boxes: (N, 4) x0, y0, x1, y1 in pixels, right and lower edge exclusive.

    Raises:
        UserError: for a box without any pixel of its image.

    Example:
        >>> from resemblance.data.sources.source import ArraySource
        >>> source = ArraySource(np.zeros((1, 8, 10, 3), np.uint8), [0], ["bird"])
        >>> crops = BoxCrops(source, np.array([[2.0, 1.0, 6.0, 20.0]]))
        >>> crops.read(0).size, crops.shapes.tolist()
        ((4, 7), [[7, 4, 3]])
    """

    def __init__(self, source: Source, boxes: NDArray[np.float64]) -> None:
        self.source, self.boxes = source, boxes
        self.classes, self.labels = source.classes, source.labels
        self.groups, self.contents = source.groups, source.contents
        high = source.shapes[:, [1, 0]]  # width, height
        self._crops = np.concatenate(
            [np.maximum(np.rint(boxes[:, :2]), 0), np.minimum(np.rint(boxes[:, 2:]), high)], axis=1
        ).astype(np.int64)
        sides = self._crops[:, 2:] - self._crops[:, :2]
        empty = np.flatnonzero((sides <= 0).any(axis=1))
        if len(empty):
            box = ", ".join(f"{side:g}" for side in boxes[empty[0]])
            raise UserError(
                f"{one_line(source.name(int(empty[0])))}: its box {box} lies outside of the image"
            )
        self.shapes = np.concatenate([sides[:, ::-1], source.shapes[:, 2:]], axis=1)

    def read(self, index: int) -> Image.Image:
        """Return the image at ``index``, cropped to its box."""
        x0, y0, x1, y1 = self._crops[index].tolist()
        return self.source.read(index).crop((x0, y0, x1, y1))

    def name(self, index: int) -> str:
        """Return the name of the image in the other source."""
        return self.source.name(index)

    def stamp(self, index: int) -> str:
        """Return the stamp of the image in the other source, with the box."""
        return f"{self.source.stamp(index)} {self._crops[index].tolist()}"


class CornerCrops(BoxCrops):
    """Images cropped to boxes that training sees in five views: whole, and as four crops of the box and a corner.

    ProtoTree's authors store the five views beforehand, as a training set of five times the size, and project
    prototypes on the crops to the boxes. Here each epoch draws one view of each image; all that reads images without
    augmentation, projection among them, gets the crop to the box.

    Each of the four crops begins in a corner of the image and ends a tenth of the box beyond it.
    """

    varied = True

    def view(self, index: int, rng: np.random.Generator) -> Image.Image:
        """Return one of the views of the image at ``index``."""
        image = self.source.read(index)
        return image.crop(self.view_box(index, int(rng.integers(VIEWS)), image.size))

    def view_box(self, index: int, view: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Return the box x0, y0, x1, y1 of a view: 0 for the whole image, 1 to 4 for its corners.

        Args:
            index: of the image.
            view: the bits of view − 1 say whether it ends on the right, and at the bottom, of the image.
            size: width and height of the image.
        """
        box, edges = self.boxes[index], [0, 0, *size]
        if view:
            for axis, at_end in enumerate(((view - 1) & 1, (view - 1) & 2)):
                margin = int(MARGIN * (box[2 + axis] - box[axis]))
                if at_end:
                    edges[axis] = max(round(float(box[axis] - margin)), 0)
                else:
                    edges[2 + axis] = min(round(float(box[2 + axis] + margin)), size[axis])
        return edges[0], edges[1], edges[2], edges[3]


def crop_to_boxes(splits: DataSplits, boxes: Boxes) -> DataSplits:
    """Return splits whose images are all cropped to their boxes, as in ProtoPNet."""
    splits.train, splits.val = _cropped(splits.train, boxes), _cropped(splits.val, boxes)
    splits.test = None if splits.test is None else _cropped(splits.test, boxes)
    return splits


def train_on_corners(splits: DataSplits, boxes: Boxes) -> DataSplits:
    """Return splits with ProtoTree's views of the training images; validation and test images stay whole."""
    splits.train = CornerCrops(splits.train, _of(splits.train, boxes))
    return splits


def _cropped(source: Source, boxes: Boxes) -> BoxCrops:
    return BoxCrops(source, _of(source, boxes))


def _of(source: Source, boxes: Boxes) -> NDArray[np.float64]:
    rows = [boxes[source.name(index)] for index in range(len(source))]
    return np.array(rows, dtype=np.float64).reshape(-1, 4)
