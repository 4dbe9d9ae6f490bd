"""A checkpoint that is undamaged but does not fit, from another version or program, is refused in one line."""

from __future__ import annotations

import os

import pytest
import torch

from resemblance.config.errors import UserError
from resemblance.config.training import TrainConfig
from resemblance.training.engine.checkpoints import atomic_save, load_checkpoint
from resemblance.training.engine.fit import fit
from stopping import Stop, stopping
from tiny import Stage, both, digits, make, same

STAGES = (Stage("joint", 2, both(), candidate=True), Stage("last", 1, both()))


def train(run, model, **options):
    config = {"accelerator": "cpu", "progress": False, "checkpoint_every_steps": 2, **options}
    return fit(model, digits(), run, TrainConfig(**config))


def changed(path, *keys, to):
    """Write the checkpoint again, with a right checksum, with one of its values changed."""
    content = load_checkpoint(path)
    holder = content
    for key in keys[:-1]:
        holder = holder[key]
    holder[keys[-1]] = to
    atomic_save(content, path)


def refusal(run):
    with pytest.raises(UserError) as caught:
        train(run, make(stages=STAGES), resume=True)
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (["stage"], "1"),
        (["history"], {}),
        (["epochs"], [True]),
        (["candidate"], {"stage": 0}),
        (["score"], {"accuracy": None, "loss": 1.0}),
        (["notes"], None),
        (["optimizer_state", "states"], {"body.1.weight": 3}),
        (["optimizer_state", "ages"], [1]),
        (["model"], {"body.1.weight": torch.zeros(3)}),
        (["model", "body.1.weight"], torch.zeros(3, 3)),
        (["model", "last.bias"], None),
    ],
)
def test_a_state_of_other_types(tmp_path, keys, value):
    run = tmp_path / "run"
    with stopping(1), pytest.raises(Stop):
        train(run, make(stages=STAGES))
    changed(run / "checkpoints" / "run.ckpt", *keys, to=value)
    assert "another --output" in refusal(run)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (["resemblance"], None),
        (["resemblance", "number"], "0"),
        (["resemblance", "progress"], {"rows": []}),
        (["resemblance", "progress", "count"], None),
        (["resemblance", "progress", "best"], {"accuracy": 0.5}),
        (["optimizer_states"], []),
        (["optimizer_states"], [{"state": 3}]),
        (["loops"], {}),
        (["loops", "fit_loop", "epoch_progress", "total"], 3),
        (["state_dict"], {}),
        (["pytorch-lightning_version"], "?"),
    ],
)
def test_a_stage_of_other_types_is_repeated_without_it(tmp_path, keys, value):
    run, path = tmp_path / "run", tmp_path / "run" / "checkpoints" / "stage.ckpt"
    train(tmp_path / "whole", reference := make(stages=STAGES))
    with stopping(3) as written, pytest.raises(Stop):
        train(run, make(stages=STAGES))
    assert written[-1] == "stage.ckpt"
    changed(path, *keys, to=value)
    assert "delete it, and --resume repeats the stage" in refusal(run)
    path.unlink()
    train(run, resumed := make(stages=STAGES), resume=True)
    assert same(resumed, reference)


def test_a_pickle_of_code_is_refused_without_running_it(tmp_path):
    class Code:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "mark"),)

    run = tmp_path / "run"
    with stopping(1), pytest.raises(Stop):
        train(run, make(stages=STAGES))
    changed(run / "checkpoints" / "run.ckpt", "facts", to=Code())
    assert "no pickle of plain values" in refusal(run)
    assert not (tmp_path / "mark").exists()
