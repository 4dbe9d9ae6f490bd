"""Latents of a trained encoder: in memory, in a file beyond a limit, and gone when they are forgotten."""

from __future__ import annotations

import numpy as np
import pytest

from resemblance.config.errors import UserError
from resemblance.training.cached import temporary_latents
from resemblance.training.cached.temporary_latents import TemporaryLatents

ROWS = np.arange(24, dtype=np.float32).reshape(6, 4)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RESEMBLANCE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "latents"


def blocks():
    yield ROWS[:4]
    yield ROWS[4:]


@pytest.mark.parametrize(("memory", "mapped"), [(ROWS.nbytes, False), (ROWS.nbytes - 1, True)])
def test_arrays_beyond_the_limit_are_in_files_without_a_name(memory, mapped, folder):
    latents = TemporaryLatents(1, batch=2, memory=memory)
    array = latents.array("a", ROWS.shape, "float32", blocks)
    assert np.array_equal(array, ROWS)
    assert isinstance(array, np.memmap) == mapped
    assert not folder.exists() or not list(folder.iterdir())
    assert latents.array("a", ROWS.shape, "float32", lambda: pytest.fail("computed again")) is array


def test_the_limit_is_that_of_all_arrays_together():
    latents = TemporaryLatents(1, batch=2, memory=2 * ROWS.nbytes)
    kinds = [isinstance(latents.array(key, ROWS.shape, "float32", blocks), np.memmap) for key in "abc"]
    assert kinds == [False, False, True]
    latents.clear()
    assert "a" not in latents
    assert not isinstance(latents.array("c", ROWS.shape, "float32", blocks), np.memmap)


def test_a_full_disk_says_what_to_do(monkeypatch):
    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(temporary_latents.tempfile, "TemporaryFile", full)
    with pytest.raises(UserError, match="no room for"):
        TemporaryLatents(1, batch=2, memory=0).array("a", ROWS.shape, "float32", blocks)
