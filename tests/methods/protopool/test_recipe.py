"""Stages, the scale of the draws, and settings of ProtoPool."""

from __future__ import annotations

import pytest
import torch

from methods.protopool.small_models import make
from resemblance.config.errors import UserError
from resemblance.core.training_step import TrainingStep
from resemblance.methods.protopool.config import ProtoPoolConfig
from resemblance.methods.protopool.slots import gumbel_scale
from resemblance.training.engine.cached_outputs import CachedOutputs


def test_the_schedule_is_the_authors():
    recipe = make().recipe()
    assert [stage.name for stage in recipe.stages] == ["warm", "joint", "last layer"]
    assert [stage.epochs for stage in recipe.stages] == [9, 21, 25]
    assert recipe.stages[1].end == ("assign", "project", "usage")
    assert recipe.stages[1].fresh
    assert recipe.stages[2].groups == {"last": recipe.stages[2].groups["last"]}
    assert recipe.stages[2].groups["last"].lr == pytest.approx(1e-4)
    assert recipe.batch_size == 80
    assert recipe.scaled(12).stages[0].epochs == 4


def test_a_trained_encoder_is_frozen_while_warm():
    model = make()
    assert "encoder" in model.recipe().stages[0].groups
    model.config.weights = "a file"
    stages = model.recipe().stages
    assert "encoder" not in stages[0].groups
    assert stages[1].groups["encoder"].lr == pytest.approx(1e-4)


def scales(recipe, model):
    found, before = [], 0
    for stage in recipe.stages:
        for epoch in range(stage.epochs):
            model.before_step(TrainingStep(stage.name, epoch, stage.epochs, before, 0, 10))
            found.append(model.scale)
        before += stage.epochs
    return found


def test_scales_run_through_the_same_range_whatever_the_epochs():
    model = make()
    whole = scales(model.recipe(), model)
    assert whole[:30] == pytest.approx([gumbel_scale(epoch) for epoch in range(1, 31)])
    short = scales(model.recipe().scaled(6), model)[:6]
    assert short[0] == pytest.approx(gumbel_scale(1))
    assert short == sorted(set(short))
    assert short[-1] > 900
    long = scales(model.recipe().scaled(90), model)[:90]
    assert long[-1] == pytest.approx(gumbel_scale(30), rel=0.02)


def test_last_layer_stage_neither_draws_nor_mixes_and_knows_its_similarities():
    model = make()
    model.before_step(TrainingStep("last layer", 0, 25, 30, 0, 10))
    images, labels = torch.rand(4, 1, 28, 28), torch.tensor([0, 1, 2, 0])
    model.eval()
    model.training = True
    output = model(images)
    assert output.extras.keys() == {"distances", "means"}

    class Batch:
        def __init__(self):
            self.images, self.labels, self.indices = images, labels, torch.arange(4)

    remembered = CachedOutputs(model, [Batch()]).batches(4)[0]
    again = model.rescore(remembered.output)
    assert torch.allclose(again.scores, output.scores, atol=1e-5)
    one, two = (sum(model.loss(found, labels).values()) for found in (output, again))
    gradients = [torch.autograd.grad(total, model.last.weight)[0] for total in (one, two)]
    assert torch.allclose(*gradients, atol=1e-6)
    assert gradients[0].abs().sum() > 0


# Configuration and files.


def test_size_of_the_pool():
    config = ProtoPoolConfig()
    assert [config.pool(c) for c in (2, 3, 10, 100, 196, 200, 300)] == [20, 30, 50, 101, 198, 202, 303]
    assert ProtoPoolConfig(slots=1).pool(2) == 2
    assert ProtoPoolConfig(prototypes=7).pool(2) == 7


def test_impossible_settings_are_refused():
    for setting in ("prototypes", "slots", "prototype_depth"):
        with pytest.raises(UserError, match="at least 1"):
            make(**{setting: 0})
    with pytest.raises(UserError, match="above 0"):
        make(rate=0.0)
