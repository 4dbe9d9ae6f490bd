"""Recipe of ProtoVAE."""

from __future__ import annotations

import pytest

from methods.protovae.small_models import make


@pytest.mark.parametrize(
    ("config", "channels", "expected"),
    [
        ({}, 1, (10, 128, "none")),
        ({"architecture": "quickdraw"}, 1, (10, 128, "none")),
        ({"architecture": "svhn"}, 3, (10, 64, "none")),
        ({"architecture": "svhn", "variant": "released"}, 3, (36, 64, "none")),
        ({}, 3, (36, 128, "flip+crop")),
        ({"encoder": "small"}, 1, (15, 128, "none")),
    ],
)
def test_recipe_is_the_papers(config, channels, expected):
    model = make(size=(32, 32), channels=channels, **config)
    recipe = model.recipe()
    (stage,) = recipe.stages
    assert (stage.epochs, recipe.batch_size, recipe.augment) == expected
    assert (stage.optimizer, stage.end) == ("adam", ("usage",))
    groups = model.parameter_groups()
    assert {group.lr for group in stage.groups.values()} == {1e-3}
    assert stage.groups.keys() == groups.keys()
    assert sum(len(group) for group in groups.values()) == len(list(model.parameters()))
