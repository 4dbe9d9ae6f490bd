"""The paper's networks, for images of any size."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from methods.protovae.small_models import make
from models import batch
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.methods.protovae.vae import Decoder, halvings, stage_widths


def kinds(layers):
    return [(type(layer).__name__, *getattr(layer, "weight", torch.empty(0)).shape) for layer in layers]


@pytest.mark.parametrize(
    ("architecture", "size", "channels", "widths", "ups", "start"),
    [
        ("mnist", 28, 1, [32, 64], [32, 32], (64, 7, 7)),
        ("quickdraw", 28, 1, [32, 64, 128], [64, 32, 32], (128, 3, 3)),
        ("svhn", 32, 3, [32, 64, 128, 256], [128, 64, 32, 32], (256, 2, 2)),
        ("cifar", 32, 3, [32, 64, 128, 256], [128, 64, 32, 32], (256, 2, 2)),
    ],
)
def test_networks_are_the_papers(architecture, size, channels, widths, ups, start):
    model = make(10, (size, size), channels, architecture=architecture, latent=None)
    length = 256 if architecture == "mnist" else 512
    assert model.latent == length
    expected, before = [], channels
    for width in widths:
        expected += [("Conv2d", width, before, 3, 3), ("ReLU", 0), ("BatchNorm2d", width)]
        if architecture == "svhn":
            expected += [("Conv2d", width, width, 4, 4), ("ReLU", 0), ("BatchNorm2d", width)]
        else:
            expected.append(("AvgPool2d", 0))
        before = width
    assert kinds(model.encoder) == [*expected, ("Flatten", 0)]
    flat = math.prod(start)
    assert kinds(model.addon) == [
        ("Linear", 2 * length, flat),
        ("ReLU", 0),
        ("Linear", 2 * length, 2 * length),
    ]
    assert kinds(model.decoder.full) == [("Linear", flat, length), ("ReLU", 0), ("BatchNorm1d", flat)]
    assert model.decoder.start == start
    expected, before = [], start[0]
    for width in ups:
        expected += [("ZeroPad2d", 0), ("Conv2d", width, before, 3, 3), ("ReLU", 0), ("BatchNorm2d", width)]
        expected += [("ConvTranspose2d", width, width, 4, 4), ("ReLU", 0), ("BatchNorm2d", width)]
        before = width
    assert kinds(model.decoder.layers) == [*expected, ("Conv2d", channels, 32, 3, 3)]
    margins = [layer.padding for layer in model.decoder.layers if isinstance(layer, nn.ZeroPad2d)]
    assert margins[:-1] == [(1, 1, 1, 1)] * (len(ups) - 1)
    assert margins[-1] == ((2,) * 4 if architecture == "quickdraw" else (1,) * 4)  # 12 becomes 14
    assert all(
        layer.output_padding == (0, 0)
        for layer in model.decoder.layers
        if hasattr(layer, "output_padding") and isinstance(layer, nn.ConvTranspose2d)
    )


def test_initial_values_are_those_of_the_authors_code():
    model = make(4)
    for layer in (model.encoder[0], *model.addon[::2], model.decoder.full[0], model.decoder.layers[4]):
        assert 0.05 < layer.weight.abs().max() <= 0.08
        assert not layer.bias.any()
    assert torch.equal(model.last.weight, torch.where(model.prototypes.owners.T, 1.0, -0.5))
    assert model.last.bias is None
    wide = make(10, latent=512).prototypes.vectors
    assert wide.mean().item() == pytest.approx(0, abs=0.05)
    assert wide.std().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("architecture", ["auto", "mnist", "quickdraw", "svhn", "cifar"])
@pytest.mark.parametrize(
    ("size", "channels"), [((28, 28), 3), ((1, 1), 1), ((33, 47), 1), ((13, 90), 3), ((64, 64), 3)]
)
def test_images_of_any_size_and_channels_are_reconstructed(architecture, size, channels):
    model = make(2, size, channels, architecture=architecture).eval()
    images, _ = batch(model, 2)
    assert model.reconstruct(images).shape == images.shape
    decoded = model.decode(model.prototypes.vectors)
    assert decoded.shape == (4, channels, *size)
    assert ((decoded >= 0) & (decoded <= 1)).all()


def test_the_resnet_has_the_decoder_for_224_pixels():
    sizes = halvings(ImageSpec(224, 224, 3, (0.0,) * 3, (1.0,) * 3), 7)
    assert sizes[-1] == (7, 7)
    assert stage_widths(len(sizes) - 1) == [32, 64, 128, 256, 256]
    assert Decoder(sizes, 3, 4, late=False).eval()(torch.rand(1, 4)).shape == (1, 3, 224, 224)
    model = make(2, (112, 112), 3, prototypes_per_class=1)  # auto is resnet18
    assert model.architecture == "resnet"
    assert model.addon[0].in_features == 512
    assert model.recipe().stages[0].epochs == 15
    named = make(2, encoder="small", architecture="mnist")
    assert named.addon[0].in_features == 128
    assert named.decoder.start == (64, 7, 7)


def test_weights_without_an_encoder_are_refused():
    with pytest.raises(UserError, match="no weights to load for the convolutions"):
        make(architecture="mnist", weights="pretrained")
    with pytest.raises(UserError, match="at least 1"):
        make(latent=0)
