"""Decode the names in zip archives that do not say how they are encoded."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

UTF_8_FLAG = 0x800
# Letters with accents in code page 437; the other bytes above 0x7F are Greek, lines and signs there.
_LETTERS_437 = frozenset([*range(0x80, 0xA6), 0xE1])
_EAST_ASIAN = (
    (0x3000, 0x30FF),  # punctuation, hiragana, katakana
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),  # ideographs
    (0xAC00, 0xD7A3),  # hangul
    (0xFF01, 0xFF5E),  # wide Latin letters
)
GUESSES = (("cp932", "Shift-JIS"), ("gb18030", "GBK"), ("euc_kr", "EUC-KR"), ("big5", "Big5"))


class ZipNames(NamedTuple):
    """The names of the entries of an archive, in their order.

    Args:
        names: the names.
        guessed: the encoding that was guessed from the names; empty if there was nothing to guess.
    """

    names: list[str]
    guessed: str


def zip_names(entries: Sequence[zipfile.ZipInfo]) -> ZipNames:
    """Decode the names of entries without the flag of UTF-8, which zipfile takes for code page 437.

    Programs write them in UTF-8 (on a Mac) or in the code page of their machine. They are taken for UTF-8 if all are
    valid UTF-8; for an East Asian encoding if some look wrong in code page 437, and all are made of East Asian letters
    in it; else for code page 437, as the format says.

    Example:
        >>> entry = zipfile.ZipInfo("\\u00ea.png".encode().decode("cp437"))
        >>> zip_names([entry]).names == ["\\u00ea.png"]
        True
    """
    unknown = [
        entry.filename
        for entry in entries
        if not entry.flag_bits & UTF_8_FLAG and not entry.filename.isascii()
    ]
    try:
        raw = [name.encode("cp437") for name in unknown]
    except UnicodeEncodeError:  # zipfile found the name elsewhere, and decoded it
        return ZipNames([entry.filename for entry in entries], "")
    encoding, shown = _encoding(raw)
    if encoding == "cp437":
        return ZipNames([entry.filename for entry in entries], "")
    decoded = dict(zip(unknown, (name.decode(encoding) for name in raw), strict=True))
    return ZipNames([decoded.get(entry.filename, entry.filename) for entry in entries], shown)


def _encoding(names: Sequence[bytes]) -> tuple[str, str]:
    """Return the encoding of names, and its name for a note if it was guessed."""
    if not names:
        return "cp437", ""
    if _all_decode(names, "utf-8"):
        return "utf-8", ""
    if all(_looks_western(name) for name in names):
        return "cp437", ""
    for encoding, shown in GUESSES:
        if _all_decode(names, encoding) and all(_is_east_asian(name.decode(encoding)) for name in names):
            return encoding, shown
    return "cp437", ""


def _all_decode(names: Sequence[bytes], encoding: str) -> bool:
    try:
        for name in names:
            name.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _looks_western(name: bytes) -> bool:
    """Check whether a name in code page 437 has letters with accents, and not mainly these."""
    if any(byte > 0x7F and byte not in _LETTERS_437 for byte in name):
        return False
    for part in name.replace(b"\\", b"/").split(b"/"):
        high = [byte > 0x7F for byte in part.partition(b".")[0]]
        if 2 * sum(high) > len(high) and any(one and other for one, other in pairwise(high)):
            return False
    return True


def _is_east_asian(text: str) -> bool:
    return all(char.isascii() or any(low <= ord(char) <= high for low, high in _EAST_ASIAN) for char in text)
