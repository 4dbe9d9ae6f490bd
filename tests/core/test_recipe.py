"""Recipes as data."""

from __future__ import annotations

import pytest

from resemblance.core.recipe import Recipe, Stage


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 20, 100])
def test_scaling_keeps_every_stage_and_the_total(epochs):
    recipe = Recipe(
        (Stage("a", 5, {}), Stage("b", 5, {}), Stage("last", 20, {}, scales=False), Stage("c", 10, {}))
    )
    scaled = recipe.scaled(epochs)
    assert all(stage.epochs >= 1 for stage in scaled.stages)
    if epochs >= 4:
        assert scaled.epochs == epochs
    assert scaled.stages[2].epochs == min(20, max(1, epochs))


def test_a_stage_without_epochs_stays_empty():
    assert Recipe((Stage("a", 5, {}), Stage("prune", 0, {}))).scaled(3).stages[1].epochs == 0


def test_nothing_changes_without_a_number():
    recipe = Recipe((Stage("a", 5, {}),))
    assert recipe.scaled(None) is recipe
