"""Draw what belongs to a model's input on the picture that the input was made from.

A model reads a small copy of a picture, scaled on each side, cut out of its middle or padded. Maps and boxes are in
pixels of this copy; a reader wants to see them on the picture itself, in its own proportions and sharpness.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from resemblance.data.geometry import Preparation
from resemblance.data.images import Pixels
from resemblance.drawing.heat import heat_layer, rescaled, signed_layer
from resemblance.drawing.places.close_up import dimmed
from resemblance.drawing.style import SMALL
from resemblance.prototypes.gallery import Box

NOT_SEEN = "Dimmed: what the model does not see, because it reads the middle of the picture."
Frame = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels, not rounded


@dataclass(frozen=True)
class InputPlace:
    """The place of a model's input on a picture, and the mapping of boxes to it.

    Args:
        size: height and width of the picture as it is shown.
        input: height and width of the input.
        frame: the input in pixels of the picture. It ends within the picture if its middle was cut out, and lies partly
            outside of it if it was padded.

    Example:
        >>> place = InputPlace.of((300, 400), (224, 224), Preparation((600, 800), (224, 224), "crop"))
        >>> tuple(round(edge) for edge in place.frame), place.box((0, 0, 112, 112)), place.complete
        ((50, 0, 350, 300), (50, 0, 200, 150), False)
    """

    size: tuple[int, int]
    input: tuple[int, int]
    frame: Frame

    @classmethod
    def of(cls, size: tuple[int, int], input: tuple[int, int], preparation: Preparation | None) -> InputPlace:
        """Return the place of the input on a picture that is shown at ``size``; all of it without a preparation."""
        if preparation is None:
            return cls(size, input, (0.0, 0.0, float(size[1]), float(size[0])))
        scale = np.array([size[1] / preparation.original[1], size[0] / preparation.original[0]] * 2)
        x0, y0, x1, y1 = (preparation.to_original((0, 0, input[1], input[0])) * scale).tolist()
        return cls(size, input, (x0, y0, x1, y1))

    @property
    def seen(self) -> Box:
        """The part of the picture that the model sees, in whole pixels."""
        return self._clipped(self.frame)

    @property
    def complete(self) -> bool:
        """Whether the model sees the whole picture, up to one pixel in a hundred."""
        x0, y0, x1, y1 = self.seen
        return (x1 - x0) * (y1 - y0) >= 0.98 * self.size[0] * self.size[1]

    def box(self, box: Box) -> Box:
        """Return a box of the input as one of the picture, at least a pixel wide and within the picture."""
        x0, y0, x1, y1 = self.frame
        sides = (x1 - x0) / self.input[1], (y1 - y0) / self.input[0]
        corner = x0, y0
        placed = [corner[k % 2] + edge * sides[k % 2] for k, edge in enumerate(box)]
        return self._clipped((placed[0], placed[1], placed[2], placed[3]))

    def _clipped(self, edges: Frame) -> Box:
        height, width = self.size
        x0, y0 = min(max(round(edges[0]), 0), width - 1), min(max(round(edges[1]), 0), height - 1)
        return x0, y0, max(min(round(edges[2]), width), x0 + 1), max(min(round(edges[3]), height), y0 + 1)


@dataclass(frozen=True)
class ShownImage:
    """A picture with the place of the model's input on it.

    Args:
        pixels: (H, W, 3) uint8.
        place: where the input lies.
        small: whether single pixels are shown.

    Example:
        >>> shown = ShownImage.of(np.zeros((8, 8, 3), np.uint8))
        >>> shown.heated(np.ones((8, 8), np.float32)).shape
        (8, 8, 3)
    """

    pixels: Pixels
    place: InputPlace
    small: bool = False

    @classmethod
    def of(
        cls,
        image: Pixels,
        original: Pixels | None = None,
        preparation: Preparation | None = None,
        side: int | None = None,
    ) -> ShownImage:
        """Return a picture as it is drawn.

        Args:
            image: (h, w, 3) what the model reads.
            original: (H, W, 3) the picture that it was made from, at any size; None if it is ``image``.
            preparation: how it was made from the picture.
            side: the largest length of the picture's longer side. Pictures smaller than ``image`` are enlarged, so that
                maps stay as fine as they are.
        """
        size = (image.shape[0], image.shape[1])
        picture = image if original is None else original
        small = max(picture.shape[:2]) <= SMALL
        longer = max(picture.shape[:2])
        if original is not None and longer < max(size):
            factor = -(-max(size) // longer)
            picture = picture.repeat(factor, axis=0).repeat(factor, axis=1)
        elif side is not None and longer > side:
            shrunk = Image.fromarray(picture)
            shrunk.thumbnail((side, side), Image.Resampling.LANCZOS)
            picture = np.asarray(shrunk)
        place = InputPlace.of(
            (picture.shape[0], picture.shape[1]), size, None if original is None else preparation
        )
        return cls(picture, place, small)

    @property
    def marked(self) -> Pixels:
        """The picture, dimmed where the model does not see it."""
        return self.pixels if self.place.complete else dimmed(self.pixels, self.place.seen)

    def heated(self, heat: NDArray[np.float32], paper: bool = False, signed: bool = False) -> Pixels:
        """Draw a map (h, w) of the input over the picture; see `drawing.heat.overlay`."""
        if paper and not signed:
            jet = (colormaps["jet"](rescaled(heat))[..., :3] * 255).round().astype(np.uint8)
            return (0.5 * self.pixels + 0.3 * self._placed(jet)).round().astype(np.uint8)
        layer = self._placed(signed_layer(heat) if signed else heat_layer(heat)).astype(np.float32)
        alpha = layer[..., 3:] / 255
        return (self.marked * (1 - alpha) + layer[..., :3] * alpha).round().astype(np.uint8)

    def _placed(self, layer: Pixels) -> Pixels:
        """Return a layer (h, w, C) of the input as one of the picture, with zeros where the model does not see it."""
        height, width = self.place.size
        x0, y0, x1, y1 = (round(edge) for edge in self.place.frame)
        resized = Image.fromarray(layer).resize(
            (max(x1 - x0, 1), max(y1 - y0, 1)),
            Image.Resampling.NEAREST if self.small else Image.Resampling.BILINEAR,
        )
        canvas = Image.new(resized.mode, (width, height))
        canvas.paste(resized, (x0, y0))
        return np.asarray(canvas)
