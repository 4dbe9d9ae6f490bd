"""A damaged checkpoint is named in one line with what to do, and what is offered leads to the same weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from resemblance.config.errors import UserError
from resemblance.config.training import TrainConfig
from resemblance.training.engine.checkpoints import (
    atomic_save,
    check_checkpoint,
    load_checkpoint,
    previous_path,
)
from resemblance.training.engine.fit import fit
from stopping import Stop, stopping
from tiny import Stage, both, digits, make, same

STAGES = (
    Stage("warm", 1, {"head": both()["head"]}, candidate=True),
    Stage("joint", 2, both(), end=("halve",), candidate=True),
)


def train(run: Path, model=None, **options):
    model = make(stages=STAGES) if model is None else model
    config = {"accelerator": "cpu", "progress": False, "checkpoint_every_steps": 2, **options}
    return fit(model, digits(), run, TrainConfig(**config))


def damage(path: Path) -> None:
    """Flip a bit of a weight, which torch reads without a word."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)


@contextmanager
def refused(*parts: str) -> Iterator[None]:
    with pytest.raises(UserError) as caught:
        yield
    assert all(part in str(caught.value) for part in parts), caught.value
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_is_refused_where_torch_reads_other_weights(tmp_path):
    path = tmp_path / "a.ckpt"
    atomic_save({"a": torch.ones(1000)}, path)
    damage(path)
    assert not torch.equal(torch.load(path, weights_only=True)["a"], torch.ones(1000))
    for read in (load_checkpoint, check_checkpoint):
        with refused("a.ckpt is damaged", "backup"):
            read(path)


@pytest.mark.parametrize("stop", [1, 4, 6, 10, 12, 13, 15, 17, 18])
def test_the_state_before_a_damaged_one_leads_to_the_same_weights(tmp_path, stop, reference):
    run, path = tmp_path / "run", tmp_path / "run" / "checkpoints" / "run.ckpt"
    with stopping(stop) as written, pytest.raises(Stop):
        train(run, refit_on_all=True)
    damage(path)
    if written.count("run.ckpt") < 2:
        with refused("run.ckpt is damaged", "another --output"):
            train(run, refit_on_all=True, resume=True)
        return
    with refused("run.ckpt is damaged", "rename run.ckpt.previous to run.ckpt"):
        train(run, refit_on_all=True, resume=True)
    path.unlink()
    with refused("run.ckpt is missing", "rename run.ckpt.previous to run.ckpt"):
        train(run, refit_on_all=True, resume=True)
    previous_path(path).rename(path)
    train(run, resumed := make(stages=STAGES), refit_on_all=True, resume=True)
    assert same(resumed, reference)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    train(tmp_path_factory.mktemp("whole") / "run", model := make(stages=STAGES), refit_on_all=True)
    return model


def test_a_damaged_stage_is_repeated_with_the_same_weights(tmp_path, reference):
    run, path = tmp_path / "run", tmp_path / "run" / "checkpoints" / "stage.ckpt"
    with stopping(5) as written, pytest.raises(Stop):
        train(run, refit_on_all=True)
    assert written[-1] == "stage.ckpt"
    damage(path)
    with refused("stage.ckpt is damaged", "delete it"):
        train(run, refit_on_all=True, resume=True)
    path.unlink()
    train(run, resumed := make(stages=STAGES), refit_on_all=True, resume=True)
    assert same(resumed, reference)


@pytest.mark.parametrize("name", ["candidate.ckpt", "start.ckpt"])
def test_other_checkpoints_are_checked_before_anything_is_trained(tmp_path, name):
    run = tmp_path / "run"
    with stopping(7), pytest.raises(Stop):  # after the first candidate and the state that names it
        train(run, refit_on_all=True)
    kept = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    damage(run / "checkpoints" / name)
    damaged = (run / "checkpoints" / name).read_bytes()
    with refused(f"{name} is damaged", "another --output"):
        train(run, refit_on_all=True, resume=True)
    kept[run / "checkpoints" / name] = damaged
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == kept


def test_a_finished_run_whose_chosen_model_is_an_earlier_one_keeps_two_of_its_states(tmp_path):
    """The state before the last one needs candidate.ckpt, which is removed at the end."""
    stages = (Stage("good", 3, both(), candidate=True), Stage("ruin", 1, both(10.0), candidate=True))
    run, path = tmp_path / "run", tmp_path / "run" / "checkpoints" / "run.ckpt"
    result = train(run, model := make(stages=stages))
    assert any("chosen on validation" in note for note in result.notes)
    assert not (run / "checkpoints" / "candidate.ckpt").exists()
    damage(path)
    with refused("rename run.ckpt.previous"):
        train(run, make(stages=stages), resume=True)
    previous_path(path).rename(path)
    assert train(run, again := make(stages=stages), resume=True).resumed == "finished"
    assert same(again, model)


def test_without_hard_links_no_state_before_is_kept(tmp_path, monkeypatch):
    def link(source, target):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    train(tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == ["run.ckpt"]
    damage(tmp_path / "run" / "checkpoints" / "run.ckpt")
    with refused("run.ckpt is damaged", "another --output"):
        train(tmp_path / "run", resume=True)


def test_nothing_is_left_when_the_previous_state_is_the_last_one(tmp_path):
    """A full disk, or a kill, between keeping a state and replacing it leaves two names of one file."""
    path = tmp_path / "run.ckpt"
    atomic_save({"state": 1}, path)
    os.link(path, previous_path(path))
    atomic_save({"state": 2}, path, keep_previous=True)
    assert sorted(os.listdir(tmp_path)) == ["run.ckpt", "run.ckpt.previous"]
    assert load_checkpoint(previous_path(path)) == {"state": 1}
