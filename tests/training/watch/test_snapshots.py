"""Snapshots notice damage."""

from __future__ import annotations

import numpy as np
import pytest

from resemblance.config.errors import UserError
from resemblance.training.watch.snapshots import read_snapshots, write_snapshot


class Decoding:
    """Stands for a model with a snapshot."""

    def snapshot(self):
        return {"prototypes": np.arange(12.0).reshape(3, 4)}


def test_a_damaged_snapshot_is_named(tmp_path):
    for epoch in (0, 1):
        write_snapshot(Decoding(), tmp_path, epoch)
    assert [epoch for epoch, _ in read_snapshots(tmp_path)] == [0, 1]
    path = tmp_path / "snapshots" / "000001.npz"
    whole = path.read_bytes()
    for damaged in (whole[:50], whole[:-1], b"", whole[:60] + bytes([whole[60] ^ 1]) + whole[61:]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"000001\.npz is damaged, .*; delete it") as caught:
            read_snapshots(tmp_path)
        assert "\n" not in str(caught.value)
    path.unlink()
    assert [epoch for epoch, _ in read_snapshots(tmp_path)] == [0]


def test_snapshots_of_earlier_versions_and_other_files(tmp_path):
    (tmp_path / "snapshots").mkdir()
    np.savez_compressed(tmp_path / "snapshots" / "000004.npz", prototypes=np.ones(2))
    [(epoch, arrays)] = read_snapshots(tmp_path)
    assert (epoch, arrays["prototypes"].tolist()) == (4, [1.0, 1.0])
    np.savez_compressed(tmp_path / "snapshots" / "mine.npz", prototypes=np.ones(2))
    with pytest.raises(UserError, match=r"mine\.npz is not a snapshot"):
        read_snapshots(tmp_path)
