"""The paper's networks, for images of any size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from methods.flint.small_models import make
from models import batch
from resemblance.config.image import ImageSpec
from resemblance.methods.flint.networks import Decoder


def kinds(module):
    return [type(layer).__name__ for layer in module]


def test_architecture_for_mnist():
    model = make(10)
    assert kinds(model.predictor.features) == ["Conv2d", "ReLU", "Conv2d", "MaxPool2d", "Dropout", "ReLU"]
    assert kinds(model.predictor.classifier) == ["Flatten", "Linear", "ReLU", "Dropout", "Linear"]
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert shapes["predictor.features.0.weight"] == (16, 1, 3, 3)
    assert shapes["predictor.features.2.weight"] == (32, 16, 3, 3)
    assert shapes["predictor.classifier.1.weight"] == (128, 6272)
    assert shapes["attributes.convolutions.0.weight"] == (64, 32, 3, 3)
    assert shapes["attributes.linear.weight"] == (25, 576)
    assert shapes["decoder.linear.weight"] == (98, 25)
    assert shapes["decoder.layers.0.weight"] == (2, 8, 3, 3)
    assert shapes["decoder.layers.2.weight"] == (8, 1, 3, 3)
    assert shapes["interpreter.weight"] == (10, 25)
    assert kinds(model.decoder.layers) == ["ConvTranspose2d", "ReLU", "ConvTranspose2d", "ReLU"]
    assert model.dropout.p == 0.01
    logits, taps = model.eval().predictor(batch(model)[0])
    assert logits.shape == (4, 10)
    assert [tuple(tap.shape) for tap in taps] == [(4, 32, 14, 14)]


@pytest.mark.parametrize(
    ("channels", "size", "count", "start", "dense"),
    [(1, 28, 24, 98, (784, 6272)), (3, 32, 36, 640, (3072, 8192))],
)
def test_architecture_for_quickdraw_and_cifar(channels, size, count, start, dense):
    model = make(10, (size, size), channels, encoder="resnet").eval()
    convolutions = [layer for layer in model.predictor.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 1 + 16 + 3  # stem, eight blocks, three shortcuts
    assert all(layer.bias is None for layer in convolutions)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules())
    assert model.attributes.linear.weight.shape == (count, 576)
    assert model.decoder.linear.weight.shape == (start, count)
    assert model.decoder.layers[5].weight.shape == dense
    assert isinstance(model.decoder.layers[6], nn.ReLU if channels == 1 else nn.Identity)
    with torch.no_grad():
        logits, taps = model.predictor(batch(model, 1)[0])
    assert logits.shape == (1, 10)
    side = size // 4
    assert [tuple(tap.shape) for tap in taps] == [
        (1, 256, side, side),
        (1, 512, (side + 1) // 2, (side + 1) // 2),
    ]


@pytest.mark.parametrize(("size", "channels"), [((28, 28), 1), ((33, 47), 3), ((8, 9), 1), ((61, 64), 3)])
@pytest.mark.parametrize("encoder", ["mnist", "resnet", "small"])
def test_reconstructions_have_the_images_size(encoder, size, channels):
    model = make(2, size, channels, encoder=encoder).eval()
    images, _ = batch(model, 2)
    reconstructed = model.reconstruct(images)
    assert reconstructed.shape == images.shape
    assert 0 <= reconstructed.min() <= reconstructed.max() <= 1


def test_a_decoder_for_large_images_starts_with_a_small_map():
    decoder = Decoder(5, ImageSpec(224, 200, 3, (0,) * 3, (1,) * 3), (8, 8, 8, 8, 8, 3), False, nn.Identity())
    assert decoder.shape == (8, 7, 7)
    assert decoder(torch.rand(1, 5)).shape == (1, 3, 224, 200)
