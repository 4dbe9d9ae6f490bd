"""Recipe and settings of Deformable ProtoPNet."""

from __future__ import annotations

import pytest
import torch

from methods.deformable.small_models import make
from recipe_lines import least_steps, recipe_lines
from resemblance.config.errors import UserError
from resemblance.core.training_step import TrainingStep
from resemblance.methods.registry import build


def test_orthogonality_counts_from_the_joint_stage_on():
    model = make()
    output = model(torch.rand(2, 1, 28, 28))
    for stage, counts in (
        ("warm", False),
        ("warm encoder", False),
        ("joint 1", True),
        ("last layer 1", True),
    ):
        model.before_step(TrainingStep(stage, epoch=0, epochs=1, before=0, step=0, steps=1))
        assert (model.loss(output, torch.tensor([0, 1]))["orthogonality"].item() > 0) == counts


def test_the_settings_of_the_paper():
    spec = make().spec
    torch.manual_seed(0)
    model = build("deformable", {"encoder": "small"}, spec)
    config = model.config
    assert model.prototypes.vectors.shape == (18, 129, 3, 3)
    assert (config.cluster, config.separation, config.margin) == (0.8, 0.08, 0.1)
    assert (config.orthogonality, config.l1, config.offset_channels) == (0.1, 1e-2, 128)
    assert model.latents(torch.rand(1, 1, 28, 28)).shape == (1, 129 + 18, 14, 14)


def test_impossible_settings_are_refused():
    with pytest.raises(UserError, match="parts must be at least 2"):
        make(parts=1)
    with pytest.raises(UserError, match="margin must be an angle"):
        make(margin=2.0)
    with pytest.raises(UserError, match=r"6x6 parts do not fit on the map of 7x7 cells.*--upsample"):
        make(parts=6)


@pytest.mark.parametrize(
    ("weights", "warm", "joint"),
    [
        ("trained", "", "encoder 0.0001 decay 0.001, "),
        ("none", "encoder 0.001 decay 0.001, ", "encoder 0.001 decay 0.001, "),
    ],
)
def test_the_recipe_is_the_authors(weights, warm, joint):
    """The authors' published run does not train the last layer."""
    decay = "x 0.2 every 5 epochs"
    for variant in ("paper", "released"):
        model = make(variant=variant)
        model.config.weights = weights
        tuned = "last layer {}: 20 epochs of adam, last 0.0001, constant; candidate; not scaled"
        last = [[tuned.format(1)], [tuned.format(2)]] if variant == "paper" else [[], []]
        marks = "" if variant == "paper" else "; candidate"
        assert recipe_lines(model.recipe()) == [
            "batches of 80, augment none",
            f"warm: 5 epochs of adam, {warm}prototypes 0.003, constant{least_steps(warm)}",
            f"warm encoder: 5 epochs of adam, {joint}prototypes 0.003, constant; fresh",
            f"joint 1: 10 epochs of adam, {joint}prototypes 0.003, offsets 0.0001, {decay}; then project; fresh{marks}",
            *last[0],
            f"joint 2: 10 epochs of adam, {joint}prototypes 0.003, offsets 0.0001, {decay}; then project{marks}",
            *last[1],
        ]


def test_added_layers_train_as_in_protopnet():
    assert make(addon="regular").config.prototype_depth == 128
    for stage in make(addon="regular").recipe().stages:
        if "prototypes" in stage.groups:
            assert (stage.groups["addon"].lr, stage.groups["addon"].weight_decay) == (3e-3, 1e-3)
