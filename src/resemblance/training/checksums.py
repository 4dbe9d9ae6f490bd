"""Checksums inside zip archives, which PyTorch's checkpoints and NumPy's .npz files are.

The SHA-256 of everything before it is the archive's comment, so that torch, numpy and unzip still open the file. A
single changed byte, and a cut, are noticed: `torch.load` alone checks nothing.
"""

from __future__ import annotations

import hashlib
import os
import struct
from enum import Enum
from typing import IO

_MARK = b"sha256:"
_LENGTH = len(_MARK) + 64
_END_OF_ARCHIVE = b"PK\x05\x06"
_END_SIZE = 22  # bytes of the archive's last record, which end with the length of the comment
_CHUNK = 1 << 20


class Checksum(Enum):
    """The result of comparing a file with its checksum."""

    MATCHES = "matches"
    DIFFERS = "differs"
    MISSING = "missing"  # a complete archive without a checksum, as earlier versions wrote them


def add_checksum(file: IO[bytes]) -> None:
    """Add the checksum to a zip archive without a comment.

    Args:
        file: open for reading and writing; at its end afterwards.
    """
    file.seek(-2, os.SEEK_END)
    file.write(struct.pack("<H", _LENGTH))
    digest = _digest(file, file.tell())
    file.seek(0, os.SEEK_END)
    file.write(_MARK + digest)


def compare_checksum(file: IO[bytes]) -> Checksum:
    """Compare a file with the checksum in it; the file is at its start afterwards."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - _LENGTH, 0))
    end = file.read()
    # The first test tells a damaged file from one that never had a checksum.
    if end[-_END_SIZE:].startswith(_END_OF_ARCHIVE) and end.endswith(b"\0\0"):
        result = Checksum.MISSING
    elif size > _LENGTH and end == _MARK + _digest(file, size - _LENGTH):
        result = Checksum.MATCHES
    else:
        result = Checksum.DIFFERS
    file.seek(0)
    return result


def _digest(file: IO[bytes], size: int) -> bytes:
    """Return the SHA-256 of the first ``size`` bytes in hexadecimal digits."""
    file.seek(0)
    digest = hashlib.sha256()
    while size and (chunk := file.read(min(_CHUNK, size))):
        digest.update(chunk)
        size -= len(chunk)
    return digest.hexdigest().encode()
