"""PrototypeDL's baselines: what they lack, and what they share with it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.core.classifier import Classifier
from resemblance.methods.registry import build

SPEC = ModelSpec(("a", "b", "c"), ImageSpec(28, 28, 1, (0.3,), (0.3,)))


def make(method: str = "autoencoder", **config: object) -> Classifier:
    torch.manual_seed(0)
    return build(method, config, SPEC)


def test_the_codes_are_those_of_prototypedl():
    theirs, ours, images = make("prototypedl"), make(), torch.rand(2, 1, 28, 28)
    ours.autoencoder.load_state_dict(theirs.autoencoder.state_dict())
    assert torch.equal(theirs.latents(images), ours.latents(images))
    assert theirs.recipe().batch_size == ours.recipe().batch_size == 250


@pytest.mark.parametrize("decoder", [True, False])
def test_the_loss_has_the_reconstruction_only_with_a_decoder(decoder):
    model, images = make(decoder=decoder, reconstruction=0.5), torch.rand(4, 1, 28, 28)
    output, labels = model(images), torch.tensor([0, 1, 2, 0])
    terms = model.loss(output, labels)
    assert terms["cross_entropy"].item() == pytest.approx(
        nn.functional.cross_entropy(output.scores, labels).item()
    )
    assert ("reconstruction" in terms) == decoder
    if decoder:
        error = (model.autoencoder.decode(output.latents) - images).square().sum() / 4
        assert terms["reconstruction"].item() == pytest.approx(0.5 * error.item())


def test_without_a_decoder_it_is_an_ordinary_network_with_relu():
    model = make(decoder=False)
    layers = [*model.autoencoder.modules(), *model.hidden]
    assert not any(isinstance(layer, nn.Sigmoid | nn.ConvTranspose2d) for layer in layers)
    assert sum(isinstance(layer, nn.ReLU) for layer in layers) == 5
    assert list(model.parameter_groups()) == ["encoder", "head"]
    assert model.hidden[0].out_features == 15
