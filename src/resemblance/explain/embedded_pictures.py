"""Embed each picture of a page once, within a limit of bytes, so that the whole page stays small."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from resemblance.data.images import Pixels
from resemblance.drawing.heat import heat_layer, signed_layer
from resemblance.drawing.style import SMALL
from resemblance.prototypes.gallery import Box

QUALITIES = (88, 78, 66, 52, 40)
HEAT_SIDE, SIGNED_SIDE = 48, 128


def data_uri(data: bytes, kind: str) -> str:
    """Return bytes as a ``data:`` address, which needs no network.

    Example:
        >>> data_uri(b"abc", "image/png")
        'data:image/png;base64,YWJj'
    """
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def encode(pixels: NDArray[np.uint8], side: int, budget: int) -> str:
    """Return a picture as a data address: lossless if it is small, else WebP within a budget of bytes.

    Args:
        pixels: (H, W, 3 or 4) uint8.
        side: the largest length of the longer side in pixels; larger pictures are shrunk.
        budget: the largest number of bytes; quality, then size are reduced until the picture fits.

    Example:
        >>> encode(np.zeros((8, 8, 3), np.uint8), 96, 4000)[:22]
        'data:image/png;base64,'
    """
    image = Image.fromarray(pixels)
    if max(image.size) <= SMALL:
        png = _encoded(image, "PNG", optimize=True)
        if len(png) <= budget:
            return data_uri(png, "image/png")
    while True:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        smallest = _encoded(image, "WEBP", quality=QUALITIES[-1])
        if len(smallest) <= budget or side <= 16:
            break
        side = side * 3 // 4
    for quality in QUALITIES[:-1]:
        better = _encoded(image, "WEBP", quality=quality)
        if len(better) <= budget:
            return data_uri(better, "image/webp")
    return data_uri(smallest, "image/webp")


@dataclass(frozen=True)
class PictureLimit:
    """The limits for the pictures of one use: pixels of the longer side, and bytes."""

    side: int
    budget: int


@dataclass
class EmbeddedPictures:
    """The pictures of one page; each is embedded once, however often it is shown.

    Args:
        limits: the limits for each use of pictures.

    Example:
        >>> pictures = EmbeddedPictures({"image": PictureLimit(96, 4000)})
        >>> first = pictures.add("image", b"key", lambda: np.zeros((4, 8, 3), np.uint8))
        >>> again = pictures.add("image", b"key", lambda: np.zeros((4, 8, 3), np.uint8))
        >>> (first.width, first.height), first == again, len(pictures.entries)
        ((8, 4), True, 1)
    """

    limits: Mapping[str, PictureLimit]
    entries: dict[str, EmbeddedPicture] = field(default_factory=dict)

    def add(
        self, use: str, key: bytes, pixels: Callable[[], Pixels], box: Box | None = None
    ) -> EmbeddedPicture:
        """Add a picture, or the part of it in ``box``, unless one with this key and use exists."""
        # The id is a hash of the content: two fragments in one notebook never refer to each other's pictures.
        name = "p" + hashlib.sha256(f"{use} {box} ".encode() + key).hexdigest()[:16]
        if name not in self.entries:
            picture, limit = pixels(), self.limits[use]
            small = (
                max(picture.shape[:2]) <= SMALL
            )  # a part of a large image is smoothed like the whole image
            if box is not None:
                picture = picture[box[1] : box[3], box[0] : box[2]]
            height, width = picture.shape[:2]
            uri = encode(picture, limit.side, limit.budget)
            self.entries[name] = EmbeddedPicture(name, width, height, uri, small)
        return self.entries[name]

    def add_pixels(self, use: str, pixels: Pixels) -> EmbeddedPicture:
        """Add a picture that is identified by its pixels."""
        return self.add(
            use, repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes(), lambda: pixels
        )

    def definitions(self) -> Markup:
        """Return the pictures as SVG definitions that the page refers to."""
        return Markup(
            '<svg class="defs" aria-hidden="true" focusable="false"><defs>\n{}\n</defs></svg>'
        ).format(Markup("\n").join(entry.definition() for entry in self.entries.values()))


@dataclass(frozen=True)
class EmbeddedPicture:
    """An embedded picture: id, size in its original pixels, address, and whether single pixels are visible."""

    name: str
    width: int
    height: int
    uri: str
    small: bool

    def definition(self) -> Markup:
        """Return the picture as an SVG definition in its original size, even if the embedded one is smaller."""
        # The style is set here because the page's rules do not apply to what <use> shows.
        style = Markup(' style="image-rendering:pixelated"') if self.small else ""
        return Markup(
            '<image id="{}" width="{}" height="{}" preserveAspectRatio="none"{} href="{}"/>'
        ).format(self.name, self.width, self.height, style, self.uri)


def heat_uri(heat: NDArray[np.float32], signed: bool = False) -> str:
    """Return a map's colours as a small transparent picture, which the page enlarges to the image.

    A signed map is a matter of single pixels: it is kept as it is up to 64 pixels per side.
    """
    if not signed:
        layer = Image.fromarray(heat_layer(heat))
        layer.thumbnail((HEAT_SIDE, HEAT_SIDE), Image.Resampling.BILINEAR)
        return data_uri(_encoded(layer, "WEBP", quality=70, alpha_quality=70), "image/webp")
    layer = Image.fromarray(signed_layer(heat))
    if max(layer.size) <= SMALL:
        return data_uri(_encoded(layer, "PNG", optimize=True), "image/png")
    layer.thumbnail((SIGNED_SIDE, SIGNED_SIDE), Image.Resampling.BOX)
    return data_uri(_encoded(layer, "WEBP", quality=70, alpha_quality=70), "image/webp")


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
