"""Recipe of SENN."""

from __future__ import annotations

from methods.senn.small_models import make


def test_recipe_is_the_papers():
    model = make(10)
    recipe = model.recipe()
    (stage,) = recipe.stages
    assert (stage.epochs, stage.optimizer, stage.select) == (10, "adam", "best")
    assert stage.end == ("concepts", "usage")
    assert (recipe.batch_size, recipe.augment) == (128, "none")
    assert {(group.lr, group.weight_decay) for group in stage.groups.values()} == {(0.001, 0.0)}
    held = sum(len(group) for group in model.parameter_groups().values())
    assert held == len([p for p in model.parameters() if p.requires_grad])
