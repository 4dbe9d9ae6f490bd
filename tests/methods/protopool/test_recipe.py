"""Stages, the scale of the draws, and settings of ProtoPool."""

from __future__ import annotations

import pytest
import torch

from methods.protopool.small_models import make
from recipe_lines import least_steps, recipe_lines
from resemblance.config.errors import UserError
from resemblance.core.training_step import TrainingStep
from resemblance.methods.protopool.config import ProtoPoolConfig
from resemblance.methods.protopool.slots import gumbel_scale
from resemblance.training.cached.cached_outputs import CachedOutputs


def scales(recipe, model):
    values, before = [], 0
    for stage in recipe.stages:
        for epoch in range(stage.epochs):
            model.before_step(TrainingStep(stage.name, epoch, stage.epochs, before, 0, 10))
            values.append(model.scale)
        before += stage.epochs
    return values


def test_scales_have_the_same_range_for_any_number_of_epochs():
    model = make()
    whole = scales(model.recipe(), model)
    assert whole[:30] == pytest.approx([gumbel_scale(epoch) for epoch in range(1, 31)])
    short = scales(model.recipe().scaled(6), model)[:6]
    assert short[0] == pytest.approx(gumbel_scale(1))
    assert short == sorted(set(short))
    assert short[-1] > 900
    long = scales(model.recipe().scaled(90), model)[:90]
    assert long[-1] == pytest.approx(gumbel_scale(30), rel=0.02)


def test_the_last_layer_stage_neither_draws_nor_mixes_and_caches_similarities():
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

    cached = CachedOutputs(model, [Batch()]).batches(4)[0]
    again = model.rescore(cached.output)
    assert torch.allclose(again.scores, output.scores, atol=1e-5)
    one, two = (sum(model.loss(result, labels).values()) for result in (output, again))
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


@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize(
    ("weights", "warm", "joint"),
    [
        ("trained", "", "encoder 0.0001 decay 0.001, "),
        ("none", "encoder 0.001 decay 0.001, ", "encoder 0.001 decay 0.001, "),
    ],
)
def test_the_recipe_is_the_authors(variant, weights, warm, joint):
    model = make(variant=variant)
    model.config.weights = weights
    pool = "addon 0.003 decay 0.001, slots 0.003, prototypes 0.003"
    recipe = model.recipe()
    assert recipe_lines(recipe) == [
        "batches of 80, augment none",
        f"warm: 9 epochs of adam, {warm}{pool}, constant{least_steps(warm)}",
        f"joint: 21 epochs of adam, {joint}{pool}, x 0.1 every 5 epochs; then assign, project, usage; fresh",
        "last layer: 25 epochs of adam, last 0.0001 decay 0.001, x 0.95 every 5 epochs; not scaled",
    ]
    assert recipe.scaled(12).stages[0].epochs == 4


def test_all_rates_follow_the_base_rate():
    stages = make(rate=0.01).recipe().stages
    rates = [{name: group.lr for name, group in stage.groups.items()} for stage in stages]
    assert rates[1] == pytest.approx({"encoder": 0.01, "addon": 0.03, "slots": 0.03, "prototypes": 0.03})
    assert rates[2] == pytest.approx({"last": 0.001})


def test_the_settings_of_the_paper():
    config = ProtoPoolConfig()
    assert (config.slots, config.prototype_depth) == (10, 128)
    assert (config.cluster, config.separation, config.orthogonality, config.l1) == (0.8, 0.08, 1, 1e-4)
