"""Leave out the parts of a PNG file that its picture does not need."""

from __future__ import annotations

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
NEEDED = b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"
ORIENTATION = b"eXIf"
LARGEST_EXIF = 1 << 20  # bytes


def essential_png(data: bytes) -> bytes:
    """Return a PNG file with its pixels and its orientation alone: texts, profiles and other notes can be damaged.

    Args:
        data: the file.

    Example:
        >>> essential_png(SIGNATURE + b"rubbish") == SIGNATURE + b"rubbish"
        True
    """
    kept, position = [SIGNATURE], len(SIGNATURE)
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 12 + length
        kind = data[position + 4 : position + 8]
        if end > len(data):
            break
        intact = kind == ORIENTATION and length <= LARGEST_EXIF
        if intact:
            intact = zlib.crc32(data[position + 4 : end - 4]) == struct.unpack_from(">I", data, end - 4)[0]
        if kind in NEEDED or intact or kind[:1].isupper():
            kept.append(data[position:end])
        position = end
    return b"".join(kept) + data[position:]
