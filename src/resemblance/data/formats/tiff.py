"""Properties of TIFF files that Pillow does not report: signs, bands, pages, previews of camera files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any, NamedTuple

from PIL import TiffImagePlugin

from resemblance.config.errors import UserError

NEW_SUBFILE, BITS, PHOTOMETRIC, SAMPLES, SAMPLE_FORMAT, CFA, DNG = 254, 258, 262, 277, 339, 32803, 50706
READ = {*((bits, False) for bits in (1, 2, 4, 8, 12, 16, 32)), (32, True), (64, True)}
MOST_BANDS = 1024  # more are rather a damaged tag
MAGIC = b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"


class TiffKind(NamedTuple):
    """How the pixels of a TIFF file are stored.

    Args:
        bits: per value.
        signed: whether values can be negative integers.
        floating: whether values are floating point numbers.
        bands: values per pixel.
        white_is_zero: whether the smallest value is white.
    """

    bits: int
    signed: bool
    floating: bool
    bands: int
    white_is_zero: bool

    @property
    def words(self) -> str:
        """The kind of the values, for messages."""
        if self.floating:
            return f"{self.bits}-bit floating point pixels"
        return f"{'signed ' if self.signed else ''}{self.bits}-bit {'' if self.signed else 'integer '}pixels"


def tiff_kind(tags: Mapping[int, Any], name: str) -> TiffKind:
    """Read the kind of pixels from the tags of a page.

    Raises:
        UserError: for files of cameras, whose first page is a preview or needs development.
    """
    if DNG in tags or tags.get(PHOTOMETRIC) == CFA or int(tags.get(NEW_SUBFILE, 0) or 0) & 1:
        raise UserError(
            f"{name}: a raw file of a camera, whose first picture is only a preview; develop it, and save it as PNG or "
            "JPEG"
        )
    bits, sample_format = _first(tags.get(BITS, 1)), _first(tags.get(SAMPLE_FORMAT, 1))
    return TiffKind(
        bits,
        sample_format == 2,
        sample_format == 3,
        _first(tags.get(SAMPLES, 1)),
        tags.get(PHOTOMETRIC) == 0,
    )


def describe_tiff(stream: IO[bytes], name: str) -> str:
    """Describe a TIFF file that Pillow cannot read, and say what to do; empty if it is not one, or damaged.

    Raises:
        UserError: for files of cameras.
    """
    stream.seek(0)
    header = stream.read(8)
    if not header.startswith(MAGIC):
        return ""
    try:
        directory = TiffImagePlugin.ImageFileDirectory_v2(header)
        stream.seek(directory.next)
        directory.load(stream)
        kind = tiff_kind(dict(directory), name)
    except UserError:
        raise
    except Exception:  # damaged tags raise almost anything
        return ""
    if 1 < kind.bands <= MOST_BANDS:
        return f"{kind.bands} bands of {kind.bits} bits; save one of them as a grey image, or three as RGB"
    if (kind.bits, kind.floating) in READ:
        return ""
    return f"{kind.words}, which cannot be read; save it with 8, 16 or 32 bits"


def _first(value: Any) -> int:
    return int(value[0] if isinstance(value, tuple | list) else value)
