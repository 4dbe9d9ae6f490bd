"""Read an image file of any kind as 8-bit grey or RGB, with its EXIF orientation applied."""

from __future__ import annotations

import io
import logging
import os
import warnings
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.data.formats.dicom import is_dicom, read_dicom
from resemblance.data.formats.foreign import HEAD, INSTALL_HEIC, is_heic, what_it_is
from resemblance.data.formats.jpeg_draft import DRAFT, is_large_jpeg, start_draft
from resemblance.data.formats.levels import UnknownRange, ValueRange, Window, eight_bits, extremes
from resemblance.data.formats.png_chunks import SIGNATURE, essential_png
from resemblance.data.formats.tiff import TiffKind, describe_tiff, tiff_kind
from resemblance.data.text import one_line, reason

MAX_PIXELS = 100_000_000  # larger files are refused as decompression bombs
# Formats that Pillow decodes by itself; EPS, for instance, would start Ghostscript.
FORMATS = "JPEG", "PNG", "TIFF", "GIF", "BMP", "DIB", "WEBP", "AVIF", "PPM", "JPEG2000", "ICO", "PCX"
SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".tif", ".tiff", ".gif", ".bmp", ".webp", ".avif", ".pgm", ".ppm", ".jp2"),
    *(".heic", ".heif", ".dcm", ".dicom"),
)
OF_SEVERAL = "TIFF", "GIF", "WEBP", "PNG", "AVIF"  # formats whose further pages or frames are other pictures
Pixels = NDArray[np.uint8]  # (H, W, 3) unless stated otherwise
# Keys of a picture's ``info``.
VALUES = "values of more than 8 bits"  # ValueRange
PAGES = "pages or frames"  # their number, if there are several
BANDS = "bands"  # their number, if some are left out

# Set once: warnings.catch_warnings is not safe in threads, and images are checked in several.
warnings.filterwarnings("ignore", module=r"PIL\.")
warnings.filterwarnings("ignore", module=r"pydicom\.")
# Otherwise the errors that Pillow and pydicom log are printed beside ours, if the program does not log.
for _library in ("PIL", "pydicom"):
    logging.getLogger(_library).addHandler(logging.NullHandler())


def read_image(
    file: Path | str | bytes | IO[bytes],
    name: str | None = None,
    window: Window | None = None,
    draft_for: ImageSpec | None = None,
) -> Image.Image:
    """Read an image as mode L or RGB, 8 bit, with its EXIF orientation applied.

    Images of more than 8 bits are scaled by ``window``, else by the range of their type (65535, or 1), not by their
    content, so that images of one set stay comparable. Palettes are resolved, CMYK is converted, transparent pixels
    are drawn on white, and of several pages or frames the first is read.

    Args:
        file: a path, the bytes, or an open file.
        name: the name in messages; by default the path.
        window: the values that become black and white in grey images of more than 8 bits; values outside become
            black or white. Images of 8 bits are read as they are.
        draft_for: the images of the model that alone will read the picture, so that a large JPEG need not be decoded
            in full; by default, it is.

    Returns:
        The picture. Its ``info`` has, where these apply, the range of its values of more than 8 bits under the key
        `VALUES`, the number of its pages or frames under `PAGES`, of its bands under `BANDS`, and under `DRAFT` what it
        shows if it was not decoded in full.

    Raises:
        UserError: for anything that cannot be read as an image, with the name and the reason; also, without a window,
            for signed or 32-bit integers and for floating point values outside [0, 1], whose white level is unknown.

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
        try:
            return _decode(stream, name, window, draft_for)
        except (UserError, FileNotFoundError, IsADirectoryError, PermissionError):
            raise
        except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error and more
            return _decode_other(stream, name, window, error)
    except UserError:
        raise
    except UnidentifiedImageError:
        raise UserError(f"{name}: {'empty file' if _empty(file) else 'not a readable image'}") from None
    except Image.DecompressionBombError:
        raise UserError(f"{name}: so many pixels that it could be a decompression bomb; refused") from None
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise UserError(f"{name}: {error.strerror}") from None
    except Exception as error:
        raise UserError(f"{name}: damaged or cut off ({reason(error)})") from None


def _decode(
    stream: Path | str | IO[bytes],
    name: str,
    window: Window | None,
    draft_for: ImageSpec | None = None,
    formats: tuple[str, ...] = FORMATS,
) -> Image.Image:
    """Read an image with Pillow."""
    Image.init()  # otherwise Pillow knows only the most common formats
    with Image.open(stream, formats=formats) as opened:
        if opened.width * opened.height > MAX_PIXELS:
            raise UserError(
                f"{name}: {opened.width}x{opened.height} pixels are more than {MAX_PIXELS:,}; "
                "scale the image down or leave it out"
            )
        kind = tiff_kind(opened.tag_v2, name) if opened.format == "TIFF" else None  # type: ignore[attr-defined]
        deep_colour = opened.mode in ("RGB", "RGBA") and ";16" in str(opened.tile)
        pages = _pages(opened)
        draft, orientation = None, 1
        if draft_for is not None and is_large_jpeg(
            opened
        ):  # of a TIFF, Pillow changes the orientation in `load`
            orientation = _orientation(opened)
            draft = start_draft(opened, draft_for, orientation)
        opened.load()
        upright = _upright(opened)
        picture = _plain(upright, opened, name, window, kind)
        if deep_colour:  # Pillow keeps the upper 8 bits
            if window is not None:
                raise UserError(f"{name}: --window is for grey images, and this one has 16-bit colours")
            colours = np.asarray(opened)[..., :3]
            picture.info[VALUES] = ValueRange(257 * int(colours.min()), 257 * int(colours.max()), 0, 65535)
        if draft is not None:
            picture.info[DRAFT] = draft if upright is opened else draft.turned(orientation, picture.size)
        if pages > 1:
            picture.info[PAGES] = pages
        if kind is not None and kind.bands == 2 and opened.mode == "L":
            picture.info[BANDS] = kind.bands
        return picture


def _pages(opened: Image.Image) -> int:
    """Return the number of pages or frames; 1 if it cannot be told."""
    if opened.format not in OF_SEVERAL:
        return 1
    try:
        return int(getattr(opened, "n_frames", 1))
    except Exception:  # of a damaged later page
        return 1


def _decode_other(
    stream: Path | str | IO[bytes], name: str, window: Window | None, error: Exception
) -> Image.Image:
    """Read a file that Pillow alone cannot read, or raise its error, or a better one."""
    data = _contents(stream)
    head = data[:HEAD]
    if is_dicom(head):
        pixels, values = read_dicom(data, name, window, MAX_PIXELS)
        picture = Image.fromarray(pixels)
        if values is not None:
            picture.info[VALUES] = values
        return picture
    if is_heic(head):
        try:
            import pillow_heif
        except ImportError:
            raise UserError(f"{name}: a HEIC photograph; {INSTALL_HEIC}, or save it as JPEG") from None
        pillow_heif.register_heif_opener()
        try:
            return _decode(io.BytesIO(data), name, window, formats=("HEIF",))
        except (UnidentifiedImageError, SyntaxError):
            raise UserError(f"{name}: a HEIC photograph, but damaged or cut off") from None
    if data.startswith(SIGNATURE) and not isinstance(error, Image.DecompressionBombError):
        essential = essential_png(data)
        if len(essential) < len(data):  # a text or a colour profile can be what Pillow refuses
            return _decode(io.BytesIO(essential), name, window)
    if isinstance(error, UnidentifiedImageError):
        words = describe_tiff(io.BytesIO(data), name) or what_it_is(head)
        if words:
            raise UserError(f"{name}: {words}")
    raise error


def _contents(stream: Path | str | IO[bytes]) -> bytes:
    """Return all bytes of a file."""
    if isinstance(stream, (str, os.PathLike)):
        return Path(stream).read_bytes()
    stream.seek(0)
    return stream.read()


def _orientation(image: Image.Image) -> int:
    """Return the orientation that the EXIF data names; 1, upright, if it names none or is not readable."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # the pixels are valid
        return 1
    return int(orientation) if orientation in range(2, 9) else 1


def _upright(image: Image.Image) -> Image.Image:
    """Turn an image as its EXIF data says; an upright one is returned as it is, where Pillow would copy it."""
    try:
        return image if _orientation(image) == 1 else ImageOps.exif_transpose(image)
    except Exception:  # what else the EXIF data says cannot be kept
        return image


def _plain(
    image: Image.Image, file: Image.Image, name: str, window: Window | None, kind: TiffKind | None
) -> Image.Image:
    """Convert an upright image to mode L or RGB."""
    if image.mode.startswith("I;16"):
        values = np.asarray(image)
        top = 2 ** (kind.bits if kind is not None else 16) - 1
        grey, described = _grey(values, window or (0, top), kind)
        if "transparency" in image.info:
            grey[values == image.info["transparency"]] = 255
        picture = Image.fromarray(grey)
        if top == 65535 or window is not None:
            picture.info[VALUES] = described
        return picture
    if image.mode in ("I", "F") or (kind is not None and kind.signed):
        return _unbounded(image, file, name, window, kind)
    mode = "L" if image.mode in ("1", "L", "LA") else "RGB"
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, "white")
        ground.alpha_composite(image.convert("RGBA"))
        image = ground
    return image if image.mode == mode else image.convert(mode)  # which would copy it


def _unbounded(
    image: Image.Image, file: Image.Image, name: str, window: Window | None, kind: TiffKind | None
) -> Image.Image:
    """Convert signed or 32-bit integers, or floating point values, whose black and white only a window tells."""
    values: NDArray[Any] = np.asarray(image)
    if image.mode == "L":  # Pillow reads signed bytes as unsigned ones
        values = values.view(np.int8)
    if window is None and file.format == "PPM":
        window = 0, 65535
    if window is None and image.mode == "F" and values.min() >= 0 and values.max() <= 1:
        window = 0, 1
    if window is None:
        words = "32-bit floating point pixels" if image.mode == "F" else "32-bit integer pixels"
        words = kind.words if kind is not None else words
        raise UnknownRange(f"{name}: {words}", words, *extremes(values))
    grey, described = _grey(values, window, kind)
    picture = Image.fromarray(grey)
    if window != (0, 1) and file.format != "PPM":
        picture.info[VALUES] = described
    return picture


def _grey(
    values: NDArray[Any], window: Window, kind: TiffKind | None
) -> tuple[NDArray[np.uint8], ValueRange]:
    black, white = window
    grey = eight_bits(values, white, black)
    if kind is not None and kind.white_is_zero:
        grey = 255 - grey
    return grey, ValueRange(*extremes(values), black, white)


def _empty(file: Path | str | bytes | IO[bytes]) -> bool:
    if isinstance(file, bytes):
        return not file
    return isinstance(file, (str, os.PathLike)) and os.path.getsize(file) == 0
