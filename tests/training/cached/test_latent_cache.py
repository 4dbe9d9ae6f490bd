"""The folder of latents stays within its budget, and a full disk changes no result."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from resemblance.config.errors import UserError
from resemblance.printing.lines import FolderWarning
from resemblance.training.cached import latent_cache
from resemblance.training.cached.latent_cache import LatentCache, cache_folder
from resemblance.writing import CannotWriteError

SHAPE = (10, 5, 5)
SIZE = 10 * 5 * 5 * 4 + 260  # bytes of a file


class Computing:
    """Computes an array of one value, and counts how often."""

    def __init__(self, value=1.0):
        self.value, self.times = value, 0

    def __call__(self):
        self.times += 1
        yield np.full((6, 5, 5), self.value, np.float32)
        yield np.full((4, 5, 5), self.value, np.float32)


def keys(folder):
    return sorted(path.stem for path in folder.glob("*.latents"))


def test_an_array_is_computed_once(tmp_path):
    compute = Computing()
    for _ in range(2):
        array = LatentCache(tmp_path, 1).array("a", SHAPE, "float32", compute)
        assert np.array_equal(array, np.ones(SHAPE))
    assert compute.times == 1


def test_a_damaged_file_is_computed_again(tmp_path):
    compute = Computing()
    LatentCache(tmp_path, 1).array("a", SHAPE, "float32", compute)
    path = tmp_path / "a.latents"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert np.array_equal(LatentCache(tmp_path, 1).array("a", SHAPE, "float32", compute), np.ones(SHAPE))
    assert compute.times == 2


def test_the_least_recently_used_is_removed(tmp_path):
    budget = 2.5 * SIZE / 1e9
    for number, key in enumerate("ab"):
        LatentCache(tmp_path, budget).array(key, SHAPE, "float32", Computing())
        os.utime(tmp_path / f"{key}.latents", (number, number))
    LatentCache(tmp_path, budget).array("a", SHAPE, "float32", Computing())  # now b is the older one
    LatentCache(tmp_path, budget).array("c", SHAPE, "float32", Computing())
    assert keys(tmp_path) == ["a", "c"]


def test_what_a_run_uses_is_not_removed_by_it(tmp_path):
    cache = LatentCache(tmp_path, 1.5 * SIZE / 1e9)
    for key in "ab":
        cache.array(key, SHAPE, "float32", Computing())
    assert keys(tmp_path) == ["a", "b"]


def test_with_a_full_disk_the_array_stays_in_memory(tmp_path, monkeypatch):
    def full(path, *_):
        raise CannotWriteError(path, OSError(28, "No space left on device"))

    monkeypatch.setattr(latent_cache, "write_latents", full)
    with pytest.warns(
        FolderWarning, match=r"a\.latents: No space left on device; the latents stay in memory"
    ):
        array = LatentCache(tmp_path, 1).array("a", SHAPE, "float32", Computing(2.0))
    assert np.array_equal(array, np.full(SHAPE, 2.0))


def test_a_large_array_needs_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(latent_cache, "MAX_CACHE_BYTES", 10)
    array = LatentCache(tmp_path, 1).array("a", SHAPE, "float32", Computing(3.0))
    assert np.array_equal(array, np.full(SHAPE, 3.0))
    with pytest.raises(UserError, match=r"no room for .* make room.*--latent-cache 0"):
        LatentCache(tmp_path, 1).array("b", (1 << 50, 1), "float32", Computing())


def test_a_folder_that_cannot_be_made_is_no_obstacle(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(FolderWarning, match="stay in memory"):
        array = LatentCache(tmp_path / "file" / "latents", 1).array("a", SHAPE, "float32", Computing())
    assert np.array_equal(array, np.ones(SHAPE))


def test_leftovers_of_killed_runs_are_removed(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    half = tmp_path / f".x.latents.{dead.pid}.new"
    half.write_bytes(b"half")
    LatentCache(tmp_path, 1).array("a", SHAPE, "float32", Computing())
    assert not half.exists()


def test_the_folder_can_be_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("RESEMBLANCE_CACHE", str(tmp_path / "x"))
    assert cache_folder() == tmp_path / "x" / "latents"
    monkeypatch.delenv("RESEMBLANCE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "resemblance" / "latents"
