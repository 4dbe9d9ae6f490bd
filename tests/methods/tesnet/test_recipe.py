"""Recipe and settings of TesNet."""

from __future__ import annotations

import pytest
import torch

from methods.tesnet.small_models import make
from resemblance.config.errors import UserError
from resemblance.methods.registry import build


def test_the_schedule_is_protopnets_and_ends_projected():
    for variant in ("paper", "released"):
        recipe = make(variant=variant).recipe()
        assert [stage.epochs for stage in recipe.stages] == [5, 5, 20, 10, 20]
        assert [stage.end for stage in recipe.stages] == [(), ("project",), (), ("project",), ()]
        assert recipe.epochs == 20
        assert recipe.batch_size == 80
        assert recipe.stages[-1].candidate
        assert recipe.stages[-1].groups.keys() == {"last"}


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
