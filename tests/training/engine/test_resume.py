"""A run that was killed or stopped is resumed with the same result."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from cases import METHODS, made
from resemblance.config.errors import UserError
from resemblance.config.training import TrainConfig
from resemblance.printing.lines import FolderWarning
from resemblance.training.ends import actions
from resemblance.training.engine import identity
from resemblance.training.engine.checkpoints import atomic_save, load_checkpoint
from resemblance.training.engine.fit import fit
from resemblance.training.engine.interrupts import Interrupted
from resemblance.training.engine.module import StageModule
from stopping import Stop, stopping
from tiny import Group, Stage, digits, make, same

TESTS = Path(__file__).parents[2]
KILLING = Path(__file__).with_name("killing.py")


def script(*arguments: str) -> list[str]:
    paths = [str(TESTS), str(TESTS.parent / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(KILLING), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the script forks")


@pytest.mark.slow
@needs_fork
def test_killed_runs_end_with_the_same_weights():
    lines = script()
    assert len(lines) == 8
    assert all(line.startswith("same: ") for line in lines), lines


@pytest.mark.slow
@needs_fork
@pytest.mark.parametrize("method", METHODS)
def test_killed_runs_of_every_method_end_with_the_same_weights(method):
    """Kill within a stage, while writing, between stages and in each end action."""
    actions = {action for stage in made(method).recipe().stages for action in stage.end}
    lines = script(method)
    assert len(lines) == 6 + len(actions)
    assert all(line.startswith("same: ") for line in lines), lines


@pytest.mark.slow
@needs_fork
def test_killed_anywhere():
    lines = script("--thorough")
    assert all(line.startswith("same: ") for line in lines), lines


def test_every_checkpoint_resumes_to_the_same_weights(tmp_path):
    config = {
        "seed": 5,
        "accelerator": "cpu",
        "progress": False,
        "checkpoint_every_steps": 4,
        "accumulate": 2,
        "refit_on_all": True,
    }
    reference = make()
    whole = fit(reference, digits(), tmp_path / "whole", TrainConfig(**config))
    for stop in range(2, 20, 3):
        run = tmp_path / str(stop)
        with stopping(stop), pytest.raises(Stop):
            fit(make(), digits(), run, TrainConfig(**config))
        model = make()
        result = fit(model, digits(), run, TrainConfig(**config, resume=True))
        assert result.resumed == "resumed"
        assert same(model, reference), stop
        assert len(result.history) == len(whole.history)
        assert result.reference == whole.reference


def test_facts_go_on_where_they_were(tmp_path, monkeypatch):
    """An end action that counts in the model's facts counts on after an interruption, wherever that is."""

    def count(model, context):
        model.facts["counted"] = [*model.facts.get("counted", []), len(model.prototypes)]

    monkeypatch.setitem(actions.END_ACTIONS, "count", count)
    stages = tuple(Stage(name, 1, {"head": Group(1e-2)}, end=("count", "halve")) for name in ("a", "b"))
    config = {"accelerator": "cpu", "progress": False, "refit_on_all": True}
    with stopping() as written:
        fit(reference := make(stages=stages), digits(), tmp_path / "whole", TrainConfig(**config))
    assert reference.facts["counted"] == [20, 10]  # of the second training: the first one's are gone
    for stop in range(2, len(written), 4):
        with stopping(stop), pytest.raises(Stop):
            fit(make(stages=stages), digits(), tmp_path / str(stop), TrainConfig(**config))
        resumed = make(stages=stages)
        fit(resumed, digits(), tmp_path / str(stop), TrainConfig(**config, resume=True))
        assert resumed.facts == reference.facts, stop
        assert same(resumed, reference), stop


def test_control_c_writes_a_checkpoint_and_says_how_to_resume(tmp_path, monkeypatch):
    reference, model = make(), make()
    fit(reference, digits(), tmp_path / "whole", TrainConfig(accelerator="cpu", progress=False))
    original, seen = StageModule.training_step, {"steps": 0}

    def training_step(self, batch, batch_idx):
        seen["steps"] += 1
        if seen["steps"] == 13:
            signal.raise_signal(signal.SIGINT)
        return original(self, batch, batch_idx)

    monkeypatch.setattr(StageModule, "training_step", training_step)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="--resume") as caught:
        fit(model, digits(), tmp_path / "run", TrainConfig(accelerator="cpu", progress=False))
    assert caught.value.exit_code == 130
    assert signal.getsignal(signal.SIGINT) is handler
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "stage.ckpt")["resemblance"]["step"] == 3
    fit(model, digits(), tmp_path / "run", TrainConfig(accelerator="cpu", progress=False, resume=True))
    assert same(model, reference)


def test_resume_without_a_run_starts_one(tmp_path):
    result = fit(
        make(), digits(), tmp_path / "new", TrainConfig(resume=True, accelerator="cpu", progress=False)
    )
    assert result.resumed == ""
    assert result.history


def test_a_failing_write_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "a.ckpt"
    atomic_save({"a": torch.ones(3)}, path)

    def full(content, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UserError, match="No space left"):
        atomic_save({"a": torch.zeros(3)}, path)
    assert torch.equal(load_checkpoint(path)["a"], torch.ones(3))
    assert [item.name for item in tmp_path.iterdir()] == ["a.ckpt"]


def test_code_in_a_checkpoint_does_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.system, ("touch " + str(tmp_path / "ran"),))

    torch.save({"a": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(UserError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "evil.ckpt")
    assert not (tmp_path / "ran").exists()


def test_a_stage_restores_which_parameters_need_gradients(tmp_path, monkeypatch):
    """Matrix products are rounded differently with gradients: the next result of a resumed run would differ."""
    seen = []

    def look(model, context):
        seen.extend(parameter.requires_grad for parameter in model.parameters())

    monkeypatch.setitem(actions.END_ACTIONS, "look", look)
    model = make(stages=(Stage("head", 1, {"head": Group(1e-2)}, end=("look",)),))
    fit(model, digits(), tmp_path / "run", TrainConfig(accelerator="cpu", progress=False))
    assert seen
    assert all(seen)


def test_another_number_of_threads_is_said(monkeypatch):
    old = identity.threads(TrainConfig(accelerator="cpu"))
    assert old == torch.get_num_threads()
    assert identity.threads(TrainConfig(accelerator="gpu")) == 0
    with pytest.warns(FolderWarning, match=r"started with 7 threads and continues with 2.*OMP_NUM_THREADS=7"):
        identity.warn_of_other_threads({"threads": 7}, {"threads": 2})
    with warnings.catch_warnings(action="error"):
        for before in ({"threads": 2}, {"threads": 0}, {}):
            identity.warn_of_other_threads(before, {"threads": 2})
    identity.check_same({"threads": 7}, {"threads": 2}, Path("run"))
