"""Snapshots that are damaged or belong to another model are named and left out."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from resemblance.training.watch import snapshots
from resemblance.training.watch.snapshots import read_snapshots, write_snapshot


class Decoding:
    """Stands for a model with a snapshot."""

    def snapshot(self):
        return {"prototypes": np.arange(12.0).reshape(3, 4)}


@pytest.fixture
def run(tmp_path):
    for epoch in (0, 1):
        write_snapshot(Decoding(), tmp_path, epoch)
    return tmp_path


def epochs(run):
    """Return the epochs of the snapshots that can be read, and the warnings."""
    warnings: list[str] = []
    return [epoch for epoch, _ in read_snapshots(Decoding(), run, warnings.append)], warnings


def test_a_damaged_snapshot_is_named_and_left_out(run):
    assert epochs(run) == ([0, 1], [])
    path = run / "snapshots" / "000001.npz"
    whole = path.read_bytes()
    for damaged in (whole[:50], whole[:-1], b"", whole[:60] + bytes([whole[60] ^ 1]) + whole[61:]):
        path.write_bytes(damaged)
        read, [warning] = epochs(run)
        assert read == [0]
        assert f"{path} is damaged, " in warning
        assert warning.endswith("the figures are drawn without it")
        assert "\n" not in warning
    path.unlink()
    path.mkdir()
    assert epochs(run)[0] == [0]


def test_snapshots_of_earlier_versions_and_other_files(run):
    np.savez_compressed(run / "snapshots" / "000004.npz", prototypes=np.ones((2, 4)))
    assert epochs(run) == ([0, 1, 4], [])
    np.savez_compressed(run / "snapshots" / "mine.npz", prototypes=np.ones((2, 4)))
    read, [warning] = epochs(run)
    assert read == [0, 1, 4]
    assert "mine.npz is not a snapshot" in warning


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"centres": np.ones((3, 4))},
        {"prototypes": np.ones((3, 5))},
        {"prototypes": np.ones(4)},
        {"prototypes": np.ones((3, 4), dtype=np.int8)},
        {"prototypes": np.array([None])},
    ],
)
def test_a_snapshot_of_another_model_is_left_out(run, arrays):
    np.savez(run / "snapshots" / "000001.npz", **arrays)
    read, [warning] = epochs(run)
    assert read == [0]
    assert "000001.npz is damaged, " in warning


def test_a_snapshot_that_would_fill_the_memory_is_not_unpacked(run, monkeypatch):
    monkeypatch.setattr(snapshots, "LARGEST", 10_000)
    with zipfile.ZipFile(run / "snapshots" / "000001.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("prototypes.npy", bytes(20_000))
    read, [warning] = epochs(run)
    assert read == [0]
    assert "20,000 bytes" in warning
