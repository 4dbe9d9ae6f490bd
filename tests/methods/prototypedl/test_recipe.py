"""Recipe of PrototypeDL."""

from __future__ import annotations

import pytest

import models
from recipe_lines import recipe_lines


@pytest.mark.parametrize(("variant", "rate"), [("paper", 0.0001), ("released", 0.002)])
def test_the_recipe_is_the_papers(variant, rate):
    model = models.make("prototypedl", variant=variant)
    assert recipe_lines(model.recipe()) == [
        "batches of 250, augment elastic",
        f"train: 1500 epochs of adam, autoencoder {rate}, prototypes {rate}, last {rate}, constant; then usage",
    ]
    fixed = models.make("prototypedl", variant=variant, fixed_weights=True)
    assert recipe_lines(fixed.recipe()) == [
        "batches of 250, augment elastic",
        f"train: 1500 epochs of adam, autoencoder {rate}, prototypes {rate}, constant; then usage",
    ]
