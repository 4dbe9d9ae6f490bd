"""Recipe of the black box, which is ours."""

from __future__ import annotations

import models
from recipe_lines import recipe_lines


def test_the_recipe():
    assert recipe_lines(models.make("blackbox", encoder="small").recipe()) == [
        "batches of 128, augment none",
        "classifier: 20 epochs of adamw, encoder 0.001 decay 0.0001, head 0.001 decay 0.0001, cosine to x 0; best",
    ]


def test_rate_and_decay_can_be_set():
    model = models.make("blackbox", encoder="small", rate=0.01, weight_decay=0.05)
    group = model.recipe().stages[0].groups["encoder"]
    assert (group.lr, group.weight_decay) == (0.01, 0.05)


def test_labels_are_not_smoothed_unless_asked_for():
    assert models.make("blackbox", encoder="small").config.label_smoothing == 0
