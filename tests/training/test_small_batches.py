"""Test that batches of one image are refused where batch norm cannot be trained with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import resemblance
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.config.training import TrainConfig
from resemblance.core.recipe import Recipe
from resemblance.data import ArraySource, DataSplits
from resemblance.methods.registry import build
from resemblance.training.small_batches import check_batch_norm


def splits(count=8, side=32):
    pixels = np.random.default_rng(0).integers(0, 255, (count, side, side, 3)).astype(np.uint8)
    part = ArraySource(pixels, np.arange(count) % 2, ("a", "b"))
    return DataSplits(part, part, None, part.classes, "noise")


def model(side=32, method="blackbox", **options):
    spec = ModelSpec(("a", "b"), ImageSpec(side, side, 3, (0.5,) * 3, (0.5,) * 3))
    config = {} if method == "prototypedl" else {"encoder": "test_resnet", "stem": "standard", **options}
    return build(method, config, spec)


def recipe_of(network, batch) -> Recipe:
    return replace(network.recipe(), batch_size=batch)


@pytest.mark.parametrize(
    ("batch", "devices", "accumulate", "cure"),
    [
        (1, 1, 1, "a batch of 1 leaves batch norm .* give --batch-size 2 or more, or a larger --image-size"),
        (4, 1, 4, "a batch of 4 divided into 4 micro-batches leaves .* give --batch-size 8 or more"),
        (4, 2, 2, "divided into 2 devices × 2 micro-batches leaves .* give --batch-size 8"),
    ],
)
def test_one_value_per_channel_is_refused_with_its_cure(batch, devices, accumulate, cure):
    network, config = model(), TrainConfig(devices=devices, accumulate=accumulate)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.eval()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    with pytest.raises(UserError, match=cure) as caught:
        check_batch_norm(network, recipe_of(network, batch), 100, config)
    assert "\n" not in str(caught.value)
    assert torch.equal(torch.rand(1), expected)  # the run's own random numbers are left alone
    assert not network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    check_batch_norm(network, recipe_of(network, 2 * batch), 100, config)


def test_too_few_images_make_a_small_batch():
    network = model()
    with pytest.raises(UserError, match="give --batch-size 8, and at least 8 images"):
        check_batch_norm(network, recipe_of(network, 64), 5, TrainConfig(accumulate=4))


def test_what_batches_of_one_can_train_is_not_refused():
    for network in (model(64), model(encoder="small"), model(method="prototypedl")):
        check_batch_norm(network, recipe_of(network, 1), 100, TrainConfig())
    frozen = model()
    without = recipe_of(frozen, 1).without(frozen.traits.encoder_groups)
    check_batch_norm(frozen, without, 100, TrainConfig())


def test_training_refuses_before_it_writes(tmp_path):
    options = {"encoder": "test_resnet", "stem": "standard", "epochs": 1}
    with pytest.raises(UserError, match="give --batch-size 2"):
        resemblance.train("blackbox", splits(), tmp_path / "run", batch_size=1, **options)
    assert not (tmp_path / "run" / "config.yaml").exists()
    resemblance.train("blackbox", splits(), tmp_path / "run", batch_size=2, **options)
