"""Recipe and settings of Deformable ProtoPNet."""

from __future__ import annotations

import pytest
import torch

from methods.deformable.small_models import make
from resemblance.config.errors import UserError
from resemblance.core.training_step import TrainingStep
from resemblance.methods.registry import build


def test_the_schedule_is_the_authors():
    recipe = make().recipe()
    assert [stage.name for stage in recipe.stages] == [
        "warm",
        "warm encoder",
        "joint 1",
        "last layer 1",
        "joint 2",
        "last layer 2",
    ]
    assert [stage.epochs for stage in recipe.stages] == [5, 5, 10, 20, 10, 20]
    assert [stage.end for stage in recipe.stages] == [(), (), ("project",), (), ("project",), ()]
    assert (recipe.epochs, recipe.batch_size) == (30, 80)
    joint = recipe.stages[2]
    assert joint.groups["offsets"].lr == 1e-4
    assert (joint.schedule.size, joint.schedule.gamma, joint.schedule.first) == (5, 0.2, 0)
    assert [stage.fresh for stage in recipe.stages] == [False, True, True, False, False, False]
    assert recipe.stages[-1].candidate


def test_pretrained_encoders_wait_for_the_second_stage():
    model = make()
    model.config.weights = "some.safetensors"
    stages = model.recipe().stages
    assert list(stages[0].groups) == ["prototypes"]
    assert stages[1].groups["encoder"].lr == 1e-4
    assert "offsets" not in stages[1].groups


def test_the_published_run_keeps_the_last_layer():
    stages = make(variant="released").recipe().stages
    assert all("last" not in stage.groups for stage in stages)
    assert [stage.candidate for stage in stages] == [False, False, True, True]


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


def test_impossible_settings_are_refused_in_one_line():
    with pytest.raises(UserError, match="parts must be at least 2"):
        make(parts=1)
    with pytest.raises(UserError, match="margin must be an angle"):
        make(margin=2.0)
    with pytest.raises(UserError, match=r"6x6 parts do not fit on the map of 7x7 cells.*--upsample"):
        make(parts=6)
