"""Decode large JPEGs at a half, a quarter or an eighth of their size, where a model needs still fewer pixels.

The decoder then computes fewer pixels from each block of 8×8, which is much faster than to compute all and to scale
them. At the model's size, photographs differ by 1 or 2 of 255 levels from those decoded in full, and by up to 4 in one
of a thousand pixels of sharp ones.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from PIL import Image

from resemblance.config.image import ImageSpec
from resemblance.data.geometry import Preparation, Sides

LARGE = 500_000  # pixels; smaller files are decoded in full, quickly enough
# The decoded sides are at least this many times those that the picture is scaled to. With 2, levels differ by up to 10.
GAP = 2.9  # not 3, so that 12 megapixels (4000×3000) are decoded at a quarter for 256 pixels, as ImageNet's models want
AVERAGING = (
    "bilinear",
    "bicubic",
    "lanczos",
    "hamming",
)  # filters that weigh all pixels; the others choose some
SMALLEST = ImageSpec(1, 1, 1, (0.0,), (1.0,), draft=True)  # to check files: they are decoded at an eighth
DRAFT = "decoded at a fraction of its size"  # the key of a picture's ``info``
# Values of EXIF's orientation: rows become columns; the picture's right side was a left one, its bottom a top.
TURNED, RIGHT_WAS_LEFT, BOTTOM_WAS_TOP = {5, 6, 7, 8}, {2, 3, 6, 7}, {3, 4, 7, 8}


class Draft(NamedTuple):
    """The part of a decoded picture that shows the file's; its last row and column may lie partly outside.

    Args:
        original: height and width of the picture, decoded in full.
        box: x0, y0, x1, y1 in pixels of the picture that was decoded at a fraction of its size.
    """

    original: Sides
    box: tuple[float, float, float, float]

    def turned(self, orientation: int, size: tuple[int, int]) -> Draft:
        """Return the part of the picture after it was turned as EXIF says.

        Args:
            orientation: 2 to 8.
            size: width and height of the turned picture.
        """
        (height, width), (_, _, across, down) = self
        if orientation in TURNED:
            height, width, across, down = width, height, down, across
        left = size[0] - across if orientation in RIGHT_WAS_LEFT else 0.0
        top = size[1] - down if orientation in BOTTOM_WAS_TOP else 0.0
        return Draft((height, width), (left, top, left + across, top + down))


def size_in_full(image: Image.Image) -> Sides:
    """Return the height and width that a picture has in its file."""
    draft: Draft | None = image.info.get(DRAFT)
    return (image.height, image.width) if draft is None else draft.original


def is_large_jpeg(opened: Image.Image) -> bool:
    """Check whether an opened file is a JPEG that is worth decoding at a fraction of its size."""
    return opened.format in ("JPEG", "MPO") and opened.width * opened.height >= LARGE


def start_draft(opened: Image.Image, spec: ImageSpec, orientation: int) -> Draft | None:
    """Make Pillow decode a large JPEG at a fraction of its size, if the model needs still fewer pixels.

    Args:
        opened: a file that was opened and not yet decoded; its size becomes that of the fraction.
        spec: the model's images.
        orientation: by EXIF, 1 to 8.

    Returns:
        The part of the picture, not yet turned, that shows the file's; None if the file is decoded in full.
    """
    if not spec.draft or spec.interpolation not in AVERAGING or not is_large_jpeg(opened):
        return None
    width, height = full = opened.size
    turned = orientation in TURNED
    rows, columns = Preparation.of(spec, full if turned else (height, width)).scaled
    wanted = ceil(GAP * columns), ceil(GAP * rows)
    drafted = opened.draft(None, wanted[::-1] if turned else wanted)
    return None if drafted is None or opened.size == full else Draft((height, width), drafted[1])
