"""Recipe and settings of TesNet."""

from __future__ import annotations

import pytest
import torch

from methods.tesnet.small_models import make
from recipe_lines import least_steps, recipe_lines
from resemblance.config.errors import UserError
from resemblance.methods.registry import build


def test_the_settings_of_the_paper():
    config = make(prototype_depth=64, prototypes_per_class=10).config
    assert (config.cluster, config.separation, config.l1) == (0.8, 0.08, 1e-4)
    assert (config.orthonormality, config.subspaces) == (1e-4, 1e-7)
    torch.manual_seed(0)
    spec = make().spec
    assert build("tesnet", {"encoder": "small"}, spec).prototypes.vectors.shape == (30, 64, 1, 1)


def test_impossible_settings_are_refused():
    with pytest.raises(UserError, match="at least 1"):
        make(prototypes_per_class=0)
    with pytest.raises(UserError, match="has no setting"):
        make(similarity="log")


@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize(
    ("weights", "warm", "joint"),
    [
        ("trained", "", "encoder 0.0001 decay 0.001, "),
        ("none", "encoder 0.001 decay 0.001, ", "encoder 0.001 decay 0.001, "),
    ],
)
def test_the_recipe_is_protopnets_and_ends_projected(variant, weights, warm, joint):
    model = make(variant=variant)
    model.config.weights = weights
    parts, decay = "addon 0.003 decay 0.001, prototypes 0.003", "x 0.1 every 5 epochs, 1 counted as over"
    assert recipe_lines(model.recipe()) == [
        "batches of 80, augment none",
        f"warm: 5 epochs of adam, {warm}{parts}, constant{least_steps(warm)}",
        f"joint 1: 5 epochs of adam, {joint}{parts}, {decay}; then project; fresh",
        "last layer 1: 20 epochs of adam, last 0.0001, constant; candidate; not scaled",
        f"joint 2: 10 epochs of adam, {joint}{parts}, {decay}; then project",
        "last layer 2: 20 epochs of adam, last 0.0001, constant; candidate; not scaled",
    ]
