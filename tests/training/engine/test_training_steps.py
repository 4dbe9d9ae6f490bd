"""The training hooks of a model: when the engine calls them, and with what."""

from __future__ import annotations

import pytest
import torch

from resemblance.config.training import TrainConfig
from resemblance.core.training_step import TrainingStep
from resemblance.training.engine.fit import fit
from tiny import Group, Stage, both, digits, make


def listen(model, events):
    """Record each call of the three hooks; `after_step` also changes a tensor by an exact amount."""
    model.before_step = lambda step: events.append(step)
    model.update_without_grad = lambda output, labels: events.append(
        ("update", len(output.scores) == len(labels))
    )

    def after_step():
        assert not torch.is_grad_enabled()
        events.append("after")
        model.prototypes.mean_similarity += 1.0

    model.after_step = after_step
    return model


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_hooks_come_in_order(tmp_path, accumulate):
    events = []
    stages = (Stage("warm", 1, {"head": Group(1e-2)}), Stage("joint", 2, both()))
    model = listen(make(stages=stages), events)
    fit(
        model,
        digits(),
        tmp_path / "run",
        TrainConfig(accelerator="cpu", progress=False, accumulate=accumulate),
    )
    calls = [event for event in events if isinstance(event, TrainingStep)]
    steps = calls[0].steps
    expected = [
        TrainingStep(stage, epoch, epochs, before, step, steps, micro)
        for stage, epochs, before in (("warm", 1, 0), ("joint", 2, 1))
        for epoch in range(epochs)
        for step in range(steps)
        for micro in range(accumulate)
    ]
    assert calls == expected
    one = [TrainingStep, ("update", True)] * accumulate + ["after"]
    assert [TrainingStep if isinstance(event, TrainingStep) else event for event in events] == one * (
        3 * steps
    )
    assert [step.run_epoch for step in calls if step.first] == [0, 1, 2]


def test_a_checkpoint_contains_the_changes_of_after_step(tmp_path, monkeypatch):
    """The checkpoint of step n is written after `after_step` of step n."""
    seen = []

    def look(io, checkpoint, path, storage_options=None):
        counted = checkpoint["state_dict"]["model.prototypes.mean_similarity"][0].item()
        seen.append((checkpoint["global_step"], counted))

    monkeypatch.setattr("resemblance.training.engine.checkpoints.AtomicCheckpointIO.save_checkpoint", look)
    model = listen(make(stages=(Stage("joint", 2, both()),)), [])
    config = TrainConfig(accelerator="cpu", progress=False, checkpoint_every_steps=1)
    fit(model, digits(), tmp_path / "run", config)
    assert len(seen) > 2
    assert all(step == counted for step, counted in seen)
