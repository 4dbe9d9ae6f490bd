"""Recipe of ProtoVAE."""

from __future__ import annotations

import pytest

import models
from methods.protovae.small_models import make
from recipe_lines import recipe_lines


@pytest.mark.parametrize(
    ("config", "channels", "batches", "epochs"),
    [
        ({}, 1, "128, augment none", 10),
        ({"variant": "released"}, 1, "128, augment none", 10),
        ({"architecture": "quickdraw"}, 1, "128, augment none", 10),
        ({"architecture": "quickdraw", "variant": "released"}, 1, "128, augment none", 10),
        ({"architecture": "svhn"}, 3, "64, augment none", 10),
        ({"architecture": "svhn", "variant": "released"}, 3, "64, augment none", 36),
        ({}, 3, "128, augment flip+crop", 36),
        ({"variant": "released"}, 3, "128, augment flip+crop", 36),
        ({"encoder": "small"}, 1, "128, augment none", 15),
        ({"encoder": "small"}, 3, "128, augment flip+crop", 36),
    ],
)
def test_the_recipe_is_the_papers(config, channels, batches, epochs):
    model = make(size=(32, 32), channels=channels, **config)
    assert recipe_lines(model.recipe()) == [
        f"batches of {batches}",
        f"train: {epochs} epochs of adam, encoder 0.001, decoder 0.001, prototypes 0.001, last 0.001, constant; "
        "then usage",
    ]


def test_the_settings_of_the_paper():
    config = models.make("protovae").config
    assert config.prototypes_per_class == 5
    assert (config.reconstruction, config.kl, config.orthonormality) == (1, 1, 1)
