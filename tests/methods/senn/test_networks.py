"""The paper's networks, and the images that they accept."""

from __future__ import annotations

import pytest
import torch

from methods.senn.small_models import MEAN, STD, batch, make, plain_networks
from resemblance.config.errors import UserError
from resemblance.methods.senn.conceptizer import cells


def test_networks_are_the_fact_sheets():
    model = make(10).eval()
    assert (cells(28), cells(32)) == (4, 5)
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert shapes["conceptizer.encoder.0.weight"] == (10, 1, 5, 5)
    assert shapes["conceptizer.encoder.3.weight"] == (20, 10, 5, 5)
    assert shapes["conceptizer.encoder.7.weight"] == (1, 16)
    assert shapes["conceptizer.spread.weight"] == (16, 1)
    assert shapes["conceptizer.decoder.0.weight"] == (20, 16, 5, 5)
    assert shapes["conceptizer.decoder.2.weight"] == (16, 8, 5, 5)
    assert shapes["conceptizer.decoder.4.weight"] == (8, 1, 2, 2)
    assert shapes["parametrizer.0.weight"] == (10, 1, 5, 5)
    assert shapes["parametrizer.3.weight"] == (20, 10, 5, 5)
    assert shapes["parametrizer.8.weight"] == (200, 320)
    assert model.parametrizer[4].p == model.config.dropout == 0.5
    images, _ = batch(model, 6)
    output = model(images)
    h, theta, decoded = plain_networks(model, (images - MEAN) / STD)
    assert torch.allclose(output.similarities, h, atol=1e-5)
    assert torch.allclose(output.extras["theta"], theta, atol=1e-5)
    assert torch.allclose(model.reconstruct(images), (decoded + 1) / 2, atol=1e-5)
    assert output.extras["theta"].abs().max() < 1
    released = make(10, variant="released").eval()
    assert torch.allclose(released.reconstruct(images), (decoded * STD + MEAN).clamp(0, 1), atol=1e-5)
    assert make(32, size=32, channels=3).conceptizer.grid == (5, 5)


@pytest.mark.parametrize("kind", ["vgg8", "vgg11", "vgg16"])
def test_a_vgg_can_be_the_parametrizer(kind):
    model = make(3, concepts=4, size=33, channels=3, parametrizer=kind)
    convolutions = [m for m in model.parametrizer if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == {"vgg8": 5, "vgg11": 8, "vgg16": 13}[kind]
    with pytest.raises(UserError, match="--image-size 32"):
        make(10, size=31, parametrizer=kind)
    if kind != "vgg8":
        return
    model.train()
    images, labels = batch(model, 3)
    sum(model.loss(model(images), labels).values()).backward()
    assert model.parametrizer[0].weight.grad.abs().max() > 0


def test_images_that_are_too_small_or_too_large_are_refused():
    with pytest.raises(UserError, match=r"15x28 pixels.*--image-size 16"):
        make(10, size=(15, 28))
    assert make(10, size=(16, 31)).conceptizer.grid == (1, 4)
    with pytest.raises(UserError, match=r"337,080,000 weights.*--parametrizer vgg8"):
        make(300, size=224)
