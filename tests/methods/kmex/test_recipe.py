"""Recipe of KMEx."""

from __future__ import annotations

import pytest

import models
from recipe_lines import recipe_lines


@pytest.mark.parametrize("config", [{}, {"variant": "released"}, {"patches": True}])
def test_the_recipe_trains_the_black_box_and_clusters(config):
    model = models.make("kmex", encoder="small", **config)
    assert recipe_lines(model.recipe()) == [
        "batches of 128, augment none",
        "classifier: 20 epochs of adamw, encoder 0.001 decay 0.0001, head 0.001 decay 0.0001, cosine to x 0; "
        "then cluster; best",
    ]
    assert not model.prototypes.vectors.requires_grad


def test_the_settings_of_the_paper():
    config = models.make("kmex", encoder="small").config
    assert (config.prototypes_per_class, config.patches, config.subset) == (5, False, None)
