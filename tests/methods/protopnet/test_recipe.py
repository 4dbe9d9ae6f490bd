"""Recipe of ProtoPNet."""

from __future__ import annotations

from functools import partial

import pytest

import models
from recipe_lines import least_steps, recipe_lines

make = partial(models.make, "protopnet", encoder="small", prototypes_per_class=2, prototype_depth=8)
DECAY = "x 0.1 every 5 epochs, 1 counted as over"  # the authors' scheduler steps before each joint epoch


@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize(
    ("weights", "warm", "joint"),
    [
        ("trained", "", "encoder 0.0001 decay 0.001, "),
        ("none", "encoder 0.001 decay 0.001, ", "encoder 0.001 decay 0.001, "),
    ],
)
def test_the_recipe_is_the_papers(variant, weights, warm, joint):
    model = make(variant=variant)
    model.config.weights = weights
    parts = "addon 0.003 decay 0.001, prototypes 0.003"
    assert recipe_lines(model.recipe()) == [
        "batches of 80, augment none",
        f"warm: 5 epochs of adam, {warm}{parts}, constant{least_steps(warm)}",
        f"joint 1: 5 epochs of adam, {joint}{parts}, {DECAY}; then project; fresh",
        "last layer 1: 20 epochs of adam, last 0.0001, constant; candidate; not scaled",
        f"joint 2: 10 epochs of adam, {joint}{parts}, {DECAY}; then project",
        "last layer 2: 20 epochs of adam, last 0.0001, constant; candidate; not scaled",
    ]


def test_pruning_ends_with_a_hundred_passes_of_the_last_layer():
    lines = recipe_lines(make(prune=True).recipe())
    assert lines[-2:] == [
        "prune: 0 epochs of adam; then prune; not scaled",
        "last layer after pruning: 100 epochs of adam, last 0.0001, constant; not scaled",
    ]
    assert not any("candidate" in line for line in lines)  # a model that is not pruned must not win


def test_whole_images_are_projected_as_often_as_asked():
    """The KMEx paper's 5 warm and 15 joint epochs, with a projection every 5."""
    recipe = make(pool="avg", addon="none", push_every=5).recipe()
    assert [stage.epochs for stage in recipe.stages] == [5, 5, 20, 5, 20, 5, 20]
    assert [stage.end for stage in recipe.stages[1::2]] == [("project",)] * 3
    assert recipe.stages[0].groups.keys() == {"encoder", "prototypes"}


def test_every_group_of_the_recipe_exists():
    for config in ({}, {"pool": "avg", "addon": "none"}, {"prune": True}):
        model = make(**config)
        for stage in model.recipe().stages:
            assert stage.groups.keys() <= model.parameter_groups().keys()


def test_the_settings_of_the_paper():
    config = models.make("protopnet", encoder="small").config
    assert (config.prototypes_per_class, config.prototype_depth) == (10, 128)
    assert (config.cluster, config.separation, config.l1) == (0.8, 0.08, 1e-4)
