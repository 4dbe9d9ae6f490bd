"""Reading one image file, whatever its kind, as 8 bits of grey or RGB, upright."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from resemblance.config.errors import UserError

MAX_PIXELS = 100_000_000  # beyond, a file is taken for a decompression bomb
_GREY = {"1", "L", "LA", "La", "I", "F"}


def read_image(file: Path | str | bytes | IO[bytes], name: str | None = None) -> Image.Image:
    """Read an image as mode L or RGB, 8 bit, turned upright by its EXIF orientation.

    16-bit and floating point images are scaled by their kind's range (65535, or 1), not by their content, so that
    images of one set stay comparable; 32-bit integers within 16 bits likewise. Palettes are resolved, CMYK is
    converted, transparent pixels show a white ground, and of an animation the first frame counts.

    Args:
        file: a path, the bytes, or an open file.
        name: for messages; by default the path.

    Raises:
        UserError: for anything that cannot be read as an image, with the name and the reason.

    Example:
        >>> buffer = io.BytesIO()
        >>> Image.new("P", (4, 2)).save(buffer, "PNG")
        >>> image = read_image(buffer.getvalue(), "palette.png")
        >>> image.mode, image.size
        ('RGB', (4, 2))
    """
    if name is None:
        name = os.fspath(file) if isinstance(file, (str, os.PathLike)) else "image"
    stream: Path | str | IO[bytes] = io.BytesIO(file) if isinstance(file, bytes) else file
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(stream) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    raise UserError(
                        f"{name}: {opened.width}x{opened.height} pixels are more than {MAX_PIXELS:,}; "
                        "scale the image down or leave it out"
                    )
                opened.load()
                return _plain(ImageOps.exif_transpose(opened))
    except UserError:
        raise
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        reason = "no image that can be read" if isinstance(error, UnidentifiedImageError) else "a decompression bomb"
        raise UserError(f"{name}: {'empty file' if _empty(file) else reason}") from None
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise UserError(f"{name}: {error.strerror}") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error and more
        raise UserError(f"{name}: damaged or cut off ({_short(error)})") from None


def _plain(image: Image.Image) -> Image.Image:
    if image.mode in ("L", "RGB"):
        return image
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint32) * 255 // 65535).astype(np.uint8))
    if image.mode == "I":
        values = np.asarray(image).astype(np.int64)
        top = 255 if values.max(initial=0) <= 255 else 65535
        return Image.fromarray((values.clip(0, top) * 255 // top).astype(np.uint8))
    if image.mode == "F":
        values = np.nan_to_num(np.asarray(image))
        top = 1.0 if values.max(initial=0) <= 1 else 255.0 if values.max() <= 255 else 65535.0
        return Image.fromarray((values.clip(0, top) * (255 / top)).round().astype(np.uint8))
    if "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        grey = image.mode in _GREY
        ground = Image.new("RGBA", image.size, "white")
        ground.alpha_composite(image.convert("RGBA"))
        return ground.convert("L" if grey else "RGB")
    return image.convert("L" if image.mode in _GREY else "RGB")


def _empty(file: Path | str | bytes | IO[bytes]) -> bool:
    if isinstance(file, bytes):
        return not file
    return isinstance(file, (str, os.PathLike)) and os.path.getsize(file) == 0


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 80 else text[:77] + "..."
