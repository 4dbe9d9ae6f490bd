"""A last-layer stage on cached similarities has the same result as on images."""

from __future__ import annotations

import pytest
import torch

from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.config.training import TrainConfig
from resemblance.core.recipe import Group, Recipe, Stage
from resemblance.data import open_data
from resemblance.data.sources.source import DataSplits, Subset
from resemblance.methods.registry import build
from resemblance.training.cached.cached_outputs import can_cache_outputs
from resemblance.training.engine import stage_data
from resemblance.training.engine.fit import fit

STAGE = Stage("last", 3, {"last": Group(1e-2)}, select="best")


def digits() -> DataSplits:
    whole = open_data("digits")
    return DataSplits(
        Subset(whole.train, range(90)), Subset(whole.val, range(40)), None, whole.classes, "digits"
    )


def model_with_one_stage():
    torch.manual_seed(0)
    spec = ModelSpec(tuple("0123456789"), ImageSpec(32, 32, 1, (0.5,), (0.5,)))
    model = build("protopnet", {"encoder": "small", "prototypes_per_class": 2, "prototype_depth": 8}, spec)
    model.recipe = lambda: Recipe((STAGE,), batch_size=30)
    return model


def test_the_result_is_the_same_as_with_images(tmp_path, monkeypatch):
    cached = model_with_one_stage()
    result = fit(cached, digits(), tmp_path / "a", TrainConfig(progress=False))
    uncached = model_with_one_stage()
    monkeypatch.setattr(stage_data, "can_cache_outputs", lambda *_: False)
    expected = fit(uncached, digits(), tmp_path / "b", TrainConfig(progress=False))
    assert torch.allclose(cached.last.weight, uncached.last.weight, atol=1e-5)
    assert not torch.allclose(cached.last.weight, model_with_one_stage().last.weight, atol=1e-3)
    for row, other in zip(result.history, expected.history, strict=True):
        assert row["val/accuracy"] == other["val/accuracy"]
        assert row["train/loss"] == pytest.approx(other["train/loss"], rel=1e-4)


def test_only_stages_of_the_head_are_cached():
    model = model_with_one_stage()
    assert can_cache_outputs(model, STAGE, 1000)
    assert not can_cache_outputs(model, STAGE, 10**9)
    assert not can_cache_outputs(model, Stage("joint", 1, {"last": Group(1), "addon": Group(1)}), 1000)
