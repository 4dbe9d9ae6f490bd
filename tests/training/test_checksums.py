"""A zip archive with a checksum opens as before, and no change of it passes."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import torch

from resemblance.training.checksums import Checksum, add_checksum, compare_checksum


def archive(checksum: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save({"a": torch.arange(3.0)}, file)
    if checksum:
        add_checksum(file)
    return file.getvalue()


def compared(data: bytes) -> Checksum:
    return compare_checksum(io.BytesIO(data))


def test_torch_numpy_and_zipfile_open_it():
    data = archive()
    assert compared(data) is Checksum.MATCHES
    assert torch.load(io.BytesIO(data), weights_only=True)["a"].tolist() == [0.0, 1.0, 2.0]
    assert zipfile.ZipFile(io.BytesIO(data)).testzip() is None
    file = io.BytesIO()
    np.savez_compressed(file, a=np.arange(3))
    add_checksum(file)
    assert compare_checksum(file) is Checksum.MATCHES
    with np.load(file) as arrays:
        assert arrays["a"].tolist() == [0, 1, 2]


def test_every_flipped_bit_is_noticed():
    data = archive()
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << position % 8
        assert compared(bytes(changed)) is Checksum.DIFFERS, position


def test_every_cut_and_every_addition_is_noticed():
    data = archive()
    for length in range(len(data)):
        assert compared(data[:length]) is Checksum.DIFFERS, length
    for added in (b"\0", b"\0" * 22, data, b"a" * 71):
        assert compared(data + added) is Checksum.DIFFERS
    assert compared(b"\0" * len(data)) is Checksum.DIFFERS


def test_an_archive_of_an_earlier_version_has_none():
    assert compared(archive(checksum=False)) is Checksum.MISSING
