"""ProtoPool through the engine and the command line: killed, and end to end."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import resemblance
from resemblance.cli import main
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.config.training import TrainConfig
from resemblance.data import ArraySource
from resemblance.data.source import DataSplits
from resemblance.methods.registry import build
from resemblance.training import checkpoints, state
from resemblance.training.engine import fit

CLASSES = ("left", "right", "none")


class Stop(BaseException):
    """Stands for a kill, in this process."""


def splits():
    generator = np.random.default_rng(0)

    def source(count):
        labels = np.arange(count) % 3
        pixels = generator.integers(0, 60, (count, 28, 28, 1), dtype=np.uint8)
        pixels[labels == 0, 4:10, 4:10] += 180
        pixels[labels == 1, 16:22, 16:22] += 180
        return ArraySource(pixels, labels, CLASSES)

    return DataSplits(train=source(36), val=source(9), test=None, classes=CLASSES, name="corners")


def make():
    torch.manual_seed(0)
    image = ImageSpec(28, 28, 1, (0.3,), (0.3,))
    settings = {"encoder": "small", "slots": 2, "prototype_depth": 8}
    settings |= {"warm_epochs": 1, "joint_epochs": 2, "last_epochs": 2}
    return build("protopool", settings, ModelSpec(CLASSES, image))


def train(run, **options):
    model = make()
    config = TrainConfig(seed=1, accelerator="cpu", progress=False, batch_size=12, **options)
    return model, fit(model, splits(), run, config)


def same(one, other):
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(first[name].nan_to_num(7), second[name].nan_to_num(7)) for name in first
    )


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    """Noise, mixtures and scales are functions of the step, and the pool has shrunk in between."""
    reference, whole = train(tmp_path / "whole", checkpoint_every_steps=2)
    original, left = checkpoints.atomic_save, {"writes": 0}

    def save(content, path):
        original(content, path)
        left["writes"] -= 1
        if left["writes"] == 0:
            raise Stop

    for module in (checkpoints, state):
        monkeypatch.setattr(module, "atomic_save", save)
    for stop in (2, 5, 7, 9, 11):
        left["writes"] = stop
        with pytest.raises(Stop):
            train(tmp_path / str(stop), checkpoint_every_steps=2)
        model, result = train(tmp_path / str(stop), checkpoint_every_steps=2, resume=True)
        assert same(model, reference), stop
        assert result.notes == whole.notes


@pytest.mark.slow
def test_from_the_command_line_to_the_report(tmp_path, capsys):
    run = str(tmp_path / "run")
    settings = [
        "--encoder",
        "small",
        "--slots",
        "3",
        "--prototype-depth",
        "16",
        "--epochs",
        "3",
        "--no-progress",
    ]
    assert main(["train", "protopool", "--data", "digits", *settings, "--output", run]) == 0
    image = tmp_path / "digit.png"
    Image.fromarray((load_digits().images[0] * 15.9).astype(np.uint8)).resize((40, 50)).save(image)
    for command in (
        ["explain", run, str(image)],
        ["prototypes", run],
        ["evaluate", run],
        ["report", run],
    ):
        code = main(command)
        assert code == 0, (command, capsys.readouterr())
    model = resemblance.load(tmp_path / "run" / "model")
    held = model.slots.held().flatten().unique()
    assert len(model.prototypes) == len(held) <= 30
    assert model.prototypes.owners.any(dim=1).all()
    assert (model.prototypes.source_index >= 0).all()
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["val"]["images"] > 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Classes that share prototypes" in page
