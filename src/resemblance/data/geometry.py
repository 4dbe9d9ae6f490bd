"""The mapping between the pixels of a picture and those of the model's input.

A picture is scaled to a size, and the middle of it, as large as the input, is cut out; where it is smaller than the
input, it is padded. So each axis has one scale and one offset. Coordinates are those of edges, in pixels: (0, 0) is the
upper left corner of the upper left pixel, whose centre is (0.5, 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from resemblance.config.image import ImageSpec

Sides = tuple[int, int]  # height, width
Boxes = NDArray[np.float64]  # (..., 4): x0, y0, x1, y1
Points = NDArray[np.float64]  # (..., 2): x, y
EPSILON = 1e-6  # so that 299 / (299 / 342) is 342
LONG = 100  # scaled pictures with this many times the pixels of the input are not computed as a whole


@dataclass(frozen=True)
class Preparation:
    """The preparation of one picture for the model, as geometry.

    Args:
        original: height and width of the picture, pixels.
        size: height and width of the model's input, pixels.
        resize: ``squash`` scales each side to the input's, ``crop`` scales the shorter side, relative to the input, and
            cuts off the rest of the longer one, ``pad`` scales the longer side and fills up the shorter one.
        crop_share: the share of the scaled side that the input shows, in (0, 1]. The picture is scaled to the input's
            size divided by it, as in timm.

    Example:
        >>> preparation = Preparation((300, 400), (224, 224), "crop", 0.875)
        >>> preparation.scaled, preparation.offset
        ((256, 341), (16, 58))
        >>> preparation.to_original([0, 0, 224, 224]).round(1).tolist()
        [68.0, 18.8, 330.8, 281.2]
    """

    original: Sides
    size: Sides
    resize: str = "squash"
    crop_share: float = 1.0

    @classmethod
    def of(cls, spec: ImageSpec, original: Sides) -> Preparation:
        """Return the preparation of a picture of ``original`` height and width for a model of ``spec``."""
        return cls(original, spec.size, spec.resize, spec.crop_share)

    @property
    def scaled(self) -> Sides:
        """The height and width to which the whole picture is scaled, before the middle is cut out."""
        height, width = (floor(side / self.crop_share + EPSILON) for side in self.size)
        rows, columns = self.original
        if self.resize == "squash":
            return height, width
        # Whether the height decides on the scale: of "crop" the larger scale holds, of "pad" the smaller one.
        tall = height * columns >= width * rows
        if tall == (self.resize == "crop"):
            return height, _proportional(columns, height, rows, self.resize)
        return _proportional(rows, width, columns, self.resize), width

    @property
    def offset(self) -> Sides:
        """The rows and columns that are cut off at the top and at the left; negative where these are padding."""
        rows, columns = (
            round((scaled - side) / 2) if scaled >= side else -((side - scaled) // 2)
            for scaled, side in zip(self.scaled, self.size, strict=True)
        )
        return rows, columns

    @property
    def changes_nothing(self) -> bool:
        """Whether the input is the picture itself."""
        return self.original == self.size == self.scaled

    def to_input(self, places: ArrayLike) -> NDArray[np.float64]:
        """Convert points (..., 2) or boxes (..., 4) from pixels of the picture to pixels of the input.

        Places that are cut off lie outside of the input; see `clipped`.
        """
        scale, shift = self._affine()
        return _per_axis(places, lambda axis, values: values * scale[axis] - shift[axis])

    def to_original(self, places: ArrayLike) -> NDArray[np.float64]:
        """Convert points (..., 2) or boxes (..., 4) from pixels of the input to pixels of the picture.

        Places in the padding lie outside of the picture.
        """
        scale, shift = self._affine()
        return _per_axis(places, lambda axis, values: (values + shift[axis]) / scale[axis])

    def mask_to_input(self, mask: NDArray[Any]) -> NDArray[Any]:
        """Convert a mask (H, W) of the picture to one (h, w) of the input: each pixel has the value at its centre.

        Padding has the value 0. Any dtype; values are not mixed, so that the mask can also hold numbers of classes.

        Raises:
            ValueError: if the mask does not have the size of the picture.
        """
        return self._sampled(mask, self.original, self.size, self.to_original)

    def map_to_original(self, map: NDArray[Any]) -> NDArray[Any]:
        """Convert a map (h, w) of the input to one (H, W) of the picture: each pixel has the value at its centre.

        What the model did not see has the value 0.

        Raises:
            ValueError: if the map does not have the size of the input.
        """
        return self._sampled(map, self.size, self.original, self.to_input)

    @property
    def visible(self) -> tuple[float, float, float, float]:
        """The part of the picture that the model sees: x0, y0, x1, y1 in pixels of the picture."""
        rows, columns = self.original
        x0, y0, x1, y1 = self.to_original((0, 0, self.size[1], self.size[0])).tolist()
        return max(x0, 0.0), max(y0, 0.0), min(x1, float(columns)), min(y1, float(rows))

    @property
    def filled(self) -> tuple[int, int, int, int]:
        """The part of the input that shows the picture, and not padding: x0, y0, x1, y1 in whole pixels."""
        (top, left), (height, width), (rows, columns) = self.offset, self.scaled, self.size
        return max(-left, 0), max(-top, 0), min(width - left, columns), min(height - top, rows)

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold: sizes, and the part of the picture that the input shows.

        ``shown`` is in pixels of the picture, ``at`` is the same part in pixels of the input.
        """
        return {
            "picture": list(self.original),
            "input": list(self.size),
            "resize": self.resize,
            "crop_share": self.crop_share,
            "shown": [round(value, 3) for value in self.visible],
            "at": list(self.filled),
        }

    def _affine(self) -> tuple[tuple[float, float], Sides]:
        """Return the scale and the shift of x and of y."""
        scale = self.scaled[1] / self.original[1], self.scaled[0] / self.original[0]
        return scale, self.offset[::-1]

    def _sampled(self, values: NDArray[Any], source: Sides, target: Sides, mapping: Any) -> NDArray[Any]:
        if values.shape != source:
            raise ValueError(f"expected shape {source}, not {values.shape}")
        rows, columns = target
        diagonal = np.arange(max(rows, columns)) + 0.5
        places = np.floor(mapping(np.stack([diagonal, diagonal], axis=-1)))  # x and y are independent
        x, y = places[:columns, 0].astype(int), places[:rows, 1].astype(int)
        inside = ((y >= 0) & (y < source[0]))[:, None] & ((x >= 0) & (x < source[1]))[None]
        sampled = values[y.clip(0, source[0] - 1)[:, None], x.clip(0, source[1] - 1)[None]]
        return np.where(inside, sampled, np.zeros((), values.dtype))


def clipped(boxes: ArrayLike, size: Sides) -> Boxes:
    """Return boxes (..., 4) within an image of this height and width; those outside of it have no area.

    Example:
        >>> clipped([[-3, 2, 5, 40], [30, 0, 40, 9]], (20, 20)).tolist()
        [[0.0, 2.0, 5.0, 20.0], [20.0, 0.0, 20.0, 9.0]]
    """
    height, width = size
    return np.asarray(boxes, dtype=np.float64).clip(0, [width, height, width, height])


def prepare(
    image: Image.Image,
    preparation: Preparation,
    interpolation: str,
    fill: tuple[int, ...],
    box: tuple[float, float, float, float] | None = None,
) -> Image.Image:
    """Scale a picture and cut out its middle; the pixels are those of torchvision and timm.

    Of very long pictures, only the part that the model sees is scaled, which differs in the rounding of some levels.

    Args:
        image: the picture, or one that was decoded at a fraction of its size.
        preparation: the geometry.
        interpolation: the name of one of Pillow's filters, with antialiasing.
        fill: the colour of padding.
        box: the part of ``image`` that shows the picture; by default all of it.
    """
    if preparation.changes_nothing:
        return image
    resampling = Image.Resampling[interpolation.upper()]
    (rows, columns), (height, width) = preparation.scaled, preparation.size
    x0, y0, x1, y1 = preparation.filled
    box = box or (0, 0, image.width, image.height)
    if rows * columns <= LONG * height * width:
        top, left = preparation.offset
        resized = image.resize((columns, rows), resampling, box=box)
        resized = resized.crop((x0 + left, y0 + top, x1 + left, y1 + top))
    else:
        scale = (box[2] - box[0]) / preparation.original[1]  # 1, or the fraction
        edges = [scale * edge for edge in preparation.visible]
        visible = box[0] + edges[0], box[1] + edges[1], box[0] + edges[2], box[1] + edges[3]
        resized = image.resize((x1 - x0, y1 - y0), resampling, box=visible)
    if resized.size == (width, height):
        return resized
    canvas = Image.new(image.mode, (width, height), fill if len(fill) > 1 else fill[0])
    canvas.paste(resized, (x0, y0))
    return canvas


def _proportional(side: int, target: int, other: int, resize: str) -> int:
    """Return ``side`` scaled like ``other`` is to ``target``, rounded as torchvision crops and as timm pads."""
    return side * target // other if resize == "crop" else max(round(side * target / other), 1)


def _per_axis(places: ArrayLike, function: Any) -> NDArray[np.float64]:
    values = np.asarray(places, dtype=np.float64)
    converted = np.empty_like(values)
    converted[..., 0::2] = function(0, values[..., 0::2])
    converted[..., 1::2] = function(1, values[..., 1::2])
    return converted
