"""An encoded picture of a prototype."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from resemblance.config.errors import UserError

if TYPE_CHECKING:
    from resemblance.data.images import Pixels

LOSSLESS_PIXELS = 128 * 128
LARGEST_SIDE = 8192


@dataclass(frozen=True)
class Picture:
    """An encoded picture; pixels are decoded on demand.

    Args:
        data: a PNG or JPEG file.

    Example:
        >>> Picture.from_pixels(np.zeros((4, 6, 1), dtype=np.uint8)).pixels().shape
        (4, 6, 3)
    """

    data: bytes

    @staticmethod
    def from_pixels(pixels: Pixels) -> Picture:
        """Encode (H, W, 1 or 3) uint8: as PNG up to 128×128 pixels, as JPEG of quality 95 above."""
        height, width, channels = pixels.shape
        image = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
        buffer = io.BytesIO()
        if height * width <= LOSSLESS_PIXELS:
            image.save(buffer, "PNG", compress_level=6)
        else:
            image.save(buffer, "JPEG", quality=95, subsampling=0)
        return Picture(buffer.getvalue())

    @property
    def suffix(self) -> str:
        """The file name extension of the data."""
        return ".png" if self.data.startswith(b"\x89PNG") else ".jpg"

    @lru_cache(maxsize=256)  # noqa: B019  (pictures are small, and few are needed again)
    def pixels(self) -> Pixels:
        """Return `decode`, and keep it for the next call."""
        return self.decode()

    def decode(self) -> Pixels:
        """Decode the picture to (H, W, 3) uint8, read-only.

        Raises:
            UserError: if the data is not a PNG or JPEG picture of a reasonable size.
        """
        try:
            with Image.open(io.BytesIO(self.data), formats=("PNG", "JPEG")) as image:
                if max(image.size) > LARGEST_SIDE:
                    raise UserError(f"a prototype's picture measures {image.size[0]}x{image.size[1]} pixels")
                pixels = np.array(image.convert("RGB"))
        except UserError:
            raise
        except Exception as error:  # Pillow raises a dozen kinds for damaged files
            raise UserError(f"a prototype's picture cannot be decoded ({type(error).__name__})") from None
        pixels.flags.writeable = False
        return pixels

    def __repr__(self) -> str:
        return f"<{self.suffix[1:]} picture of {len(self.data):,} bytes>"
