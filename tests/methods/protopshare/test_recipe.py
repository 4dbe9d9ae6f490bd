"""Recipe of ProtoPShare."""

from __future__ import annotations

from methods.protopshare.small_models import make
from resemblance.methods.protopshare.config import ProtoPShareConfig


def test_the_schedule():
    recipe = make(rounds=2, push_every=20).recipe()
    assert [stage.name for stage in recipe.stages] == [
        "warm",
        "joint 1",
        "last layer 1",
        "merge 1",
        "fine-tuning 1",
        "shared last layer 1",
        "merge 2",
        "fine-tuning 2",
        "shared last layer 2",
    ]
    assert [stage.epochs for stage in recipe.stages] == [5, 15, 25, 0, 5, 25, 0, 5, 25]
    assert [stage.end for stage in recipe.stages[3:6]] == [("merge",), ("project",), ()]
    assert [stage.fresh for stage in recipe.stages if stage.name.startswith("fine")] == [True, False]
    assert not any(stage.candidate for stage in recipe.stages)  # an unmerged model must not win
    tuned = recipe.stages[4].groups
    assert (tuned["encoder"].lr, tuned["addon"].lr, tuned["prototypes"].lr) == (1e-4, 3e-3, 3e-3)
    assert recipe.batch_size == 60
    assert recipe.scaled(10).stages[4].epochs > 0


def test_without_a_start_the_defaults_are_protopnets():
    config = ProtoPShareConfig()
    assert (config.encoder, config.prototype_depth, config.pool, config.keep) == ("resnet18", 128, "max", 0.5)
