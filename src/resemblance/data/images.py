"""Read an image file of any kind as 8-bit grey or RGB, with its EXIF orientation applied."""

from __future__ import annotations

import io
import logging
import os
import warnings
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from resemblance.config.errors import UserError
from resemblance.data.text import one_line, reason

MAX_PIXELS = 100_000_000  # larger files are refused as decompression bombs
# Formats that Pillow decodes by itself; EPS, for instance, would start Ghostscript.
FORMATS = "JPEG", "PNG", "TIFF", "GIF", "BMP", "DIB", "WEBP", "AVIF", "PPM", "JPEG2000", "ICO", "PCX"
SUFFIXES = ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".gif", ".bmp", ".webp", ".avif", ".pgm", ".ppm", ".jp2"
BLOCK = 1 << 20  # pixels that are converted at once
Pixels = NDArray[np.uint8]  # (H, W, 3) unless stated otherwise
BRIGHTEST = "brightest of 16 bits"
_BITS_PER_SAMPLE = 258  # TIFF tag

# Set once: warnings.catch_warnings is not safe in threads, and images are checked in several.
warnings.filterwarnings("ignore", module=r"PIL\.")
# Otherwise the errors that Pillow logs are printed beside ours, if the program does not log.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def read_image(file: Path | str | bytes | IO[bytes], name: str | None = None) -> Image.Image:
    """Read an image as mode L or RGB, 8 bit, with its EXIF orientation applied.

    16-bit and floating point images are scaled by the range of their type (65535, or 1), not by their content, so
    that images of one set stay comparable. Palettes are resolved, CMYK is converted, transparent pixels are drawn on
    white, and of an animation the first frame is read.

    Args:
        file: a path, the bytes, or an open file.
        name: the name in messages; by default the path.

    Returns:
        The picture; for a 16-bit file, its ``info`` has the largest value, up to 65535, under the key `BRIGHTEST`.

    Raises:
        UserError: for anything that cannot be read as an image, with the name and the reason; also for 32-bit
            integers and for floating point values outside [0, 1], whose white level is unknown.

    Example:
        >>> buffer = io.BytesIO()
        >>> Image.new("P", (4, 2)).save(buffer, "PNG")
        >>> image = read_image(buffer.getvalue(), "palette.png")
        >>> image.mode, image.size
        ('RGB', (4, 2))
    """
    if name is None:
        name = os.fspath(file) if isinstance(file, (str, os.PathLike)) else "image"
    name = one_line(name)
    try:
        if isinstance(file, (str, os.PathLike)) and os.path.exists(file) and not os.path.isfile(file):
            raise UserError(f"{name}: a folder or device, not an image file")
        stream: Path | str | IO[bytes] = io.BytesIO(file) if isinstance(file, bytes) else file
        Image.init()  # otherwise Pillow knows only the most common formats
        with Image.open(stream, formats=FORMATS) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise UserError(
                    f"{name}: {opened.width}x{opened.height} pixels are more than {MAX_PIXELS:,}; "
                    "scale the image down or leave it out"
                )
            deep_colour = opened.mode in ("RGB", "RGBA") and ";16" in str(opened.tile)
            opened.load()
            picture = _plain(_upright(opened), opened, name)
            if deep_colour:  # Pillow keeps the upper 8 bits
                picture.info[BRIGHTEST] = 257 * int(np.asarray(opened)[..., :3].max())
            return picture
    except UserError:
        raise
    except UnidentifiedImageError:
        raise UserError(f"{name}: {'empty file' if _empty(file) else 'not a readable image'}") from None
    except Image.DecompressionBombError:
        raise UserError(f"{name}: so many pixels that it could be a decompression bomb; refused") from None
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise UserError(f"{name}: {error.strerror}") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error and more
        raise UserError(f"{name}: damaged or cut off ({reason(error)})") from None


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # without readable EXIF data the orientation is unknown; the pixels are valid
        return image


def _plain(image: Image.Image, file: Image.Image, name: str) -> Image.Image:
    if image.mode.startswith("I;16"):
        bits = getattr(file, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))[0]
        values = np.asarray(image)
        grey = eight_bits(values, 2**bits - 1)
        if "transparency" in image.info:
            grey[values == image.info["transparency"]] = 255
        picture = Image.fromarray(grey)
        if bits == 16:
            picture.info[BRIGHTEST] = int(values.max())
        return picture
    if image.mode == "I":
        if file.format != "PPM":
            raise UserError(
                f"{name}: 32-bit integer pixels, whose range is unknown; save it with 8 or 16 bits"
            )
        return Image.fromarray(eight_bits(np.asarray(image), 65535))
    if image.mode == "F":
        values = np.asarray(image)
        if not (values.min() >= 0 and values.max() <= 1):
            raise UserError(
                f"{name}: floating point pixels from {values.min():g} to {values.max():g}; expected 0 to 1"
            )
        return Image.fromarray(eight_bits(values, 1))
    is_grey = image.mode in ("1", "L", "LA")
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, "white")
        ground.alpha_composite(image.convert("RGBA"))
        image = ground
    return image.convert("L" if is_grey else "RGB")


def eight_bits(values: NDArray[np.generic], top: int) -> NDArray[np.uint8]:
    """Scale values (H, W, ...) from 0 to ``top`` to 0 to 255, in blocks of rows: float64 needs 8 times the memory."""
    scaled = np.empty(values.shape, np.uint8)
    rows = max(1, BLOCK // values.shape[1])
    for start in range(0, len(values), rows):
        block = values[start : start + rows].astype(np.float64)
        scaled[start : start + rows] = (block * (255 / top)).round()
    return scaled


def _empty(file: Path | str | bytes | IO[bytes]) -> bool:
    if isinstance(file, bytes):
        return not file
    return isinstance(file, (str, os.PathLike)) and os.path.getsize(file) == 0
