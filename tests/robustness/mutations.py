"""Damage bytes at random: what a bad disk, a cut download, another program or an attacker makes of a file."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from random import Random

# Where a parser keeps a size or a count, these are the values at which it goes wrong.
EDGES = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
ENDS = 256  # bytes at both ends, where headers and directories are
PNG = b"\x89PNG\r\n\x1a\n"


def mutate(rng: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Return the data after one to four random changes.

    Args:
        rng: the source of all choices.
        data: a valid file.
        others: files from which pieces may be taken.
    """
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 4))):
        if changed.startswith(PNG) and rng.random() < 0.5:
            changed = bytearray(_change_chunks(rng, bytes(changed)))
        else:
            rng.choice(CHANGES)(rng, changed, others or [data])
    return bytes(changed)


def _place(rng: Random, data: bytearray) -> int:
    """Return a position, in half of all cases one near an end."""
    if not data:
        return 0
    where = rng.random()
    if where < 0.4:
        return rng.randrange(min(ENDS, len(data)))
    if where < 0.55:
        return len(data) - 1 - rng.randrange(min(ENDS, len(data)))
    return rng.randrange(len(data))


def _span(rng: Random, data: bytearray) -> slice:
    start = _place(rng, data)
    return slice(start, start + rng.choice((1, 2, 4, 8, 16, 64, 1024)))


def _flip_bits(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    for _ in range(rng.choice((1, 1, 2, 8))):
        if data:
            data[_place(rng, data)] ^= 1 << rng.randrange(8)


def _set_byte(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    if data:
        data[_place(rng, data)] = rng.randrange(256)


def _set_number(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    start = _place(rng, data)
    size, code = rng.choice(((1, "B"), (2, "H"), (4, "I"), (8, "Q")))
    number = struct.pack(rng.choice("<>") + code, rng.choice(EDGES) & ((1 << 8 * size) - 1))
    data[start : start + size] = number


def _cut(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    del data[_place(rng, data) :]


def _delete(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    del data[_span(rng, data)]


def _repeat(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    span = _span(rng, data)
    data[span.start : span.start] = bytes(data[span]) * rng.choice((1, 2, 50))


def _insert(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    start = _place(rng, data)
    data[start:start] = rng.randbytes(rng.choice((1, 4, 100)))


def _blank(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    span = _span(rng, data)
    data[span] = bytes(len(data[span]))


def _splice(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    """Continue with the rest of another file."""
    other = rng.choice(others)
    data[_place(rng, data) :] = other[_place(rng, bytearray(other)) :]


CHANGES = (
    _flip_bits,
    _flip_bits,
    _set_byte,
    _set_number,
    _set_number,
    _cut,
    _delete,
    _repeat,
    _insert,
    _blank,
)
CHANGES += (_splice,)


def _change_chunks(rng: Random, data: bytes) -> bytes:
    """Change the chunks of a PNG file; their checksums are made right, so that the decoder gets to see the change."""
    chunks, rest = [], data[len(PNG) :]
    while len(rest) >= 12:
        (size,) = struct.unpack(">I", rest[:4])
        chunks.append((rest[4:8], rest[8 : 8 + size]))
        rest = rest[12 + size :]
    if not chunks:
        return data[: len(PNG)]
    index = rng.randrange(len(chunks))
    name, body = chunks[index]
    what = rng.randrange(5)
    if what == 0:
        chunks.insert(index, chunks[rng.randrange(len(chunks))])
    elif what == 1:
        del chunks[index]
    elif what == 2:
        rng.shuffle(chunks)
    elif what == 3:
        chunks[index] = rng.choice((b"tRNS", b"PLTE", b"eXIf", b"iCCP", b"tEXt", b"acTL", name)), body
    else:
        changed = bytearray(body)
        rng.choice((_flip_bits, _set_byte, _set_number, _cut, _delete, _repeat))(rng, changed, [body])
        chunks[index] = name, bytes(changed)
    return PNG + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
