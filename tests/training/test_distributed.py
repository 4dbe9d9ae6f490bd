"""Two processes on the CPU against one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.config.training import TrainConfig
from resemblance.core.distributed import alone, gather, world
from resemblance.methods.registry import build
from resemblance.training.devices import find_accelerator
from resemblance.training.engine import fit
from tiny import CLASSES, Group, LateReader, Recipe, Stage, TinyConfig, both, digits, make

STAGES = (
    Stage("warm", 1, {"head": Group(1e-2)}, end=("nudge",)),
    Stage("joint", 2, both(), select="best", end=("halve",), candidate=True),
    Stage("last", 1, {"head": Group(1e-3)}, candidate=True),
)


def train(run, **options):
    model = make(stages=STAGES, norm=False, dropout=0.0)
    result = fit(model, digits(), run, TrainConfig(seed=2, accelerator="cpu", progress=False, **options))
    return model, result


def test_two_processes_train_as_one(tmp_path):
    """Also the batch-level term, which gathers, and end actions, which the first process runs."""
    one, first = train(tmp_path / "one")
    two, second = train(tmp_path / "two", devices=2)
    for (name, expected), found in zip(one.named_parameters(), two.parameters(), strict=True):
        assert torch.allclose(expected, found, atol=2e-6), name
    for expected, found in zip(first.history, second.history, strict=True):
        for key in ("train/loss", "train/nearest", "val/accuracy", "val/loss"):
            assert expected.get(key) == pytest.approx(found.get(key), abs=1e-5), key
    assert second.validation_accuracy == first.validation_accuracy
    assert second.notes == first.notes


@pytest.mark.slow
def test_a_process_that_reads_late_reads_the_state_that_was_meant(tmp_path):
    """Stages that only act write two states, one right after the other; before, the processes lost each other."""
    stages = (Stage("cut", 0, {}, end=("halve",)), Stage("last", 1, {"head": Group(1e-3)}))
    torch.manual_seed(0)
    model = LateReader(TinyConfig(norm=False, dropout=0.0), Recipe(stages, batch_size=64))
    fit(model, digits(), tmp_path / "run", TrainConfig(accelerator="cpu", progress=False, devices=2))
    assert len(model.prototypes) == 10


@pytest.mark.slow
def test_two_processes_merge_prototypes_as_one(tmp_path):
    """The first merges, the other receives fewer prototypes with other owners, and both go on training."""
    spec = ModelSpec(CLASSES, ImageSpec(16, 16, 1, (0.3,), (0.35,)))
    epochs = dict.fromkeys(("warm_epochs", "joint_epochs", "tune_epochs", "last_epochs"), 1)
    config = {"encoder": "mine", "prototypes_per_class": 2, "prototype_depth": 8, "push_every": 2, **epochs}
    found = []
    for devices in (1, 2):
        torch.manual_seed(0)
        layers = [nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()]
        net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
        model = build("protopshare", {**config, "rounds": 2, "keep": 0.4}, spec, module=net)
        options = TrainConfig(seed=2, accelerator="cpu", progress=False, devices=devices, batch_size=64)
        result = fit(model, digits(), tmp_path / str(devices), options)
        found.append((model, result))
    (one, first), (two, second) = found
    assert len(one.prototypes) == 8
    assert torch.equal(one.prototypes.owners, two.prototypes.owners)
    assert one.facts == two.facts
    for (name, expected), other in zip(one.named_parameters(), two.parameters(), strict=True):
        # Adam makes whole steps of gradients that are rounding errors: single numbers may differ.
        assert (expected - other).norm() <= 1e-2 * expected.norm(), name
    for expected, other in zip(first.history, second.history, strict=True):
        assert expected["train/loss"] == pytest.approx(other["train/loss"], rel=1e-3)
    merges = [[line for line in result.notes if "merged" in line] for result in (first, second)]
    assert merges[0] == merges[1]
    assert len(merges[0]) == 2


def test_one_process_gathers_nothing():
    rows = torch.rand(3, 2, requires_grad=True)
    assert gather(rows) is rows
    assert world() == 1
    with alone():
        assert gather(rows) is rows


def test_models_that_cannot_be_sent_to_processes_are_refused(tmp_path):
    model = make()
    model.hook = lambda: None
    with pytest.raises(UserError, match="pickled"):
        fit(model, digits(), tmp_path / "run", TrainConfig(devices=2, accelerator="cpu", progress=False))


def test_accelerators_that_are_not_there_are_refused():
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="no GPU"):
            find_accelerator("gpu", 1)
    assert find_accelerator("cpu", 8) == "cpu"
