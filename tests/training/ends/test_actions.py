"""End actions by name."""

from __future__ import annotations

import pytest

import models
from models import noise_for
from resemblance.config.errors import UserError
from resemblance.training.ends.actions import SHARED_ACTIONS, ActionContext, run


@pytest.mark.parametrize("name", SHARED_ACTIONS)
def test_models_without_prototypes_are_refused(name):
    model = models.make("blackbox", encoder="small")
    with pytest.raises(UserError, match="prototypes"):
        run(name, model, ActionContext(noise_for(model)))


def test_an_unknown_action_is_named():
    model = models.make("senn")
    with pytest.raises(KeyError, match="'polish'"):
        run("polish", model, ActionContext(noise_for(model)))


@pytest.mark.parametrize("name", ["project", "usage"])
def test_actions_see_the_model_in_evaluation_mode(name):
    model = models.make("protopnet", encoder="small", prototypes_per_class=2, prototype_depth=8).train()
    before = {key: value.clone() for key, value in model.encoder.state_dict().items()}
    run(name, model, ActionContext(noise_for(model)))
    assert not model.training
    assert all((before[key] == value).all() for key, value in model.encoder.state_dict().items())
