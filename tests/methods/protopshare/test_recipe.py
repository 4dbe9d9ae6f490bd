"""Recipe of ProtoPShare."""

from __future__ import annotations

import pytest

from methods.protopshare.small_models import make
from recipe_lines import least_steps, recipe_lines
from resemblance.methods.protopshare.config import ProtoPShareConfig


def test_without_a_start_the_defaults_are_protopnets():
    config = ProtoPShareConfig()
    assert (config.encoder, config.prototype_depth, config.pool, config.keep) == ("resnet18", 128, "max", 0.5)


MERGE = "merge {}: 0 epochs of adam; then {}; not scaled"
TUNE = (
    "fine-tuning {}: 5 epochs of adam, encoder 0.0001 decay 0.001, addon 0.003 decay 0.001, prototypes 0.003, "
    "x 0.1 every 5 epochs; then project"
)
LAST = "shared last layer {}: 25 epochs of adam, last 0.0001, constant; not scaled"


@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize(
    ("weights", "warm", "joint"),
    [
        ("trained", "", "encoder 0.0001 decay 0.001, "),
        ("none", "encoder 0.001 decay 0.001, ", "encoder 0.001 decay 0.001, "),
    ],
)
def test_the_recipe_is_protopnets_then_the_authors(variant, weights, warm, joint):
    """No stage is a candidate: a model that is not merged must not win."""
    model = make(rounds=2, push_every=20, variant=variant)
    model.config.weights = weights
    parts, decay = "addon 0.003 decay 0.001, prototypes 0.003", "x 0.1 every 5 epochs, 1 counted as over"
    recipe = model.recipe()
    assert recipe_lines(recipe) == [
        "batches of 60, augment none",
        f"warm: 5 epochs of adam, {warm}{parts}, constant{least_steps(warm)}",
        f"joint 1: 15 epochs of adam, {joint}{parts}, {decay}; then project; fresh",
        "last layer 1: 25 epochs of adam, last 0.0001, constant; not scaled",
        MERGE.format(1, "merge"),
        TUNE.format(1) + "; fresh",
        LAST.format(1),
        MERGE.format(2, "merge"),
        TUNE.format(2),
        LAST.format(2),
    ]
    assert recipe.scaled(10).stages[4].epochs > 0


def test_a_trained_protopnet_is_only_merged():
    model = make()
    model.config.start = "some run"
    assert recipe_lines(model.recipe()) == [
        "batches of 60, augment none",
        MERGE.format(1, "project, merge"),
        TUNE.format(1) + "; fresh",
        LAST.format(1),
    ]
