"""The nearest patches of prototypes that have none."""

from __future__ import annotations

import torch

from looking_glass import LookingGlass, Whole, batches
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.training.ends.projection import project


def test_a_prototype_without_source_has_no_box():
    model = Whole(torch.rand(3, 12), PrototypeLayer.class_major(1, 3), (20, 30))
    model.traits = LookingGlass.traits
    model.prototypes.source_box.fill_(7)
    project(model, batches(torch.rand(4, 3, 2, 2), torch.tensor([0, 2, 0, 2]), 2))
    assert model.prototypes.source_box.tolist() == [[0, 0, 30, 20], [0, 0, 0, 0], [0, 0, 30, 20]]
    assert model.prototypes.source_index[1] == -1
