"""Files of latents are complete or absent, and notice damage."""

from __future__ import annotations

import numpy as np
import pytest

from resemblance.training.cached.latent_file import CHECKSUM, HEADER, read_latents, write_latents
from resemblance.writing import CannotWriteError

ROWS = np.arange(24, dtype=np.float32).reshape(4, 2, 3)


def write(path, rows=ROWS):
    write_latents(path, rows.shape, str(rows.dtype), [rows[:3], rows[3:]])
    return path


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
def test_what_was_written_is_read_and_mapped(tmp_path, dtype):
    rows = ROWS.astype(dtype)
    array = read_latents(write(tmp_path / "a.latents", rows))
    assert array.dtype == dtype
    assert np.array_equal(array, rows)
    assert isinstance(array, np.memmap)
    assert not array.flags.writeable


def test_a_missing_file_is_none(tmp_path):
    assert read_latents(tmp_path / "none.latents") is None


@pytest.mark.parametrize("place", [0, 30, HEADER, HEADER + 50, HEADER + 96 + CHECKSUM - 1])
def test_a_changed_byte_is_noticed(tmp_path, place):
    path = write(tmp_path / "a.latents")
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert read_latents(path) is None


@pytest.mark.parametrize("length", [0, 10, HEADER, HEADER + 95, HEADER + 96 + CHECKSUM - 1])
def test_a_cut_is_noticed(tmp_path, length):
    path = write(tmp_path / "a.latents")
    path.write_bytes(path.read_bytes()[:length])
    assert read_latents(path) is None


@pytest.mark.parametrize(
    "described",
    [
        b"[]",
        b'{"shape": [4, -2, -3], "dtype": "float32"}',
        b'{"shape": [4, 2.0], "dtype": "float32"}',
        b'{"shape": 3, "dtype": "float32"}',
        b'{"shape": [24], "dtype": "object"}',
        b'{"shape": [1' + b"0" * 60 + b'], "dtype": "float32"}',
    ],
)
def test_a_foreign_header_is_refused(tmp_path, described):
    path = tmp_path / "a.latents"
    path.write_bytes((b"resemblance latents 1\n" + described).ljust(HEADER) + bytes(100))
    assert read_latents(path) is None


def test_what_fails_half_way_leaves_the_file_as_it_was(tmp_path):
    path = write(tmp_path / "a.latents")

    def blocks():
        yield ROWS[:3]
        raise OSError(28, "No space left on device")

    with pytest.raises(CannotWriteError):
        write_latents(path, ROWS.shape, "float32", blocks())
    assert np.array_equal(read_latents(path), ROWS)
    assert [file.name for file in tmp_path.iterdir()] == ["a.latents"]


def test_a_mapped_file_can_be_replaced_and_removed(tmp_path):
    path = write(tmp_path / "a.latents")
    mapped = read_latents(path)
    write(path, ROWS + 1)
    path.unlink()
    assert np.array_equal(mapped, ROWS)
