"""Every method's model is used by software that knows tensors alone: traced, exported, with 16-bit weights."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import nn

from cases import VARIANTS
from contract_checks import assert_adds_up
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.core.prototype_model import PrototypeModel
from resemblance.encoders.base import Encoder
from resemblance.methods.ensemble.model import make_ensemble
from resemblance.methods.registry import build
from test_contract import images_of, make

SIXTEEN = (torch.float16, torch.bfloat16)


def trained_alike(variant: str):
    """A model whose scores differ between images, without gradients."""
    model = make(variant).eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model


def close(first: torch.Tensor, second: torch.Tensor, share: float = 1e-5) -> bool:
    return not first.numel() or bool((first - second).abs().max() <= share * (1 + second.abs().max()))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_traced_model_returns_scores_and_similarities_of_any_number_of_images(variant):
    model = trained_alike(variant)
    images = images_of(model, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of each number that it keeps
        traced = torch.jit.trace(model, images[:2])
    expected = model(images)
    scores, similarities = traced(images)
    assert close(scores, expected.scores)
    assert similarities.shape == expected.similarities.shape
    assert close(similarities, expected.similarities)


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_exported_model_returns_the_output_of_any_number_of_images(variant):
    model = trained_alike(variant)
    images = images_of(model, 5)
    exported = torch.export.export(model, (images[:2],), dynamic_shapes=({0: torch.export.Dim("batch")},))
    expected, output = model(images), exported.module()(images)
    assert type(output) is type(expected)
    assert close(output.scores, expected.scores)
    assert close(output.similarities, expected.similarities)


@pytest.mark.parametrize("dtype", SIXTEEN)
@pytest.mark.parametrize("variant", VARIANTS)
def test_16_bit_weights_are_those_of_the_encoder_alone(variant, dtype):
    model = trained_alike(variant)
    images, narrow = images_of(model, 5), copy.deepcopy(model).to(dtype)
    expected = model(images)
    for given in (images, images.to(dtype)):
        output = narrow(given)
        assert output.scores.dtype == output.similarities.dtype == torch.float32
        assert close(output.scores, expected.scores, 0.05)
        if isinstance(narrow, PrototypeModel):
            assert_adds_up(narrow, output, output.scores.argmax(1))
    for name, tensor in narrow.state_dict().items():
        before = model.state_dict()[name]
        if tensor.dtype in SIXTEEN:
            assert "encoder" in name, name
        else:
            assert tensor.equal(before) or tensor.isnan().any(), name
    networks = [module for module in narrow.modules() if isinstance(module, Encoder)]
    assert all(encoder.dtype == dtype for encoder in networks)


def test_an_ensemble_is_traced():
    ensemble = make_ensemble([trained_alike("protopnet"), trained_alike("kmex")])
    images = images_of(ensemble, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(ensemble, images[:2])
    assert close(traced(images)[0], ensemble(images).scores)


class OneLogit(nn.Module):
    """A user's network: what follows its classifier cannot be done with an embedding, so that its pass ends there."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU())
        self.fc = nn.Sequential(nn.Dropout(0.2), nn.Linear(16, 1))

    def forward(self, images):
        return self.fc(self.body(images).mean((2, 3))).reshape(len(images), 1)


class OneLogitByFunction(OneLogit):
    """The same with a classifier that is a function."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.fc = nn.Parameter(torch.randn(1, 16)), None

    def forward(self, images):
        return nn.functional.linear(self.body(images).mean((2, 3)), self.weight).reshape(-1, 1)


@pytest.mark.parametrize("network", [OneLogit, OneLogitByFunction])
@pytest.mark.parametrize("method", ["kmex", "protopnet"])
def test_a_network_that_is_left_early_is_exported(method, network):
    """KMEx leaves it at the classifier, ProtoPNet after the map."""
    spec = ModelSpec(("a", "b"), ImageSpec(28, 28, 1, (0.5,), (0.25,)))
    torch.manual_seed(0)
    model = build(
        method, {"encoder": "custom", "prototypes_per_class": 2}, spec, module=network().eval()
    ).eval()
    model.requires_grad_(False)
    images = images_of(model, 5)
    exported = torch.export.export(model, (images[:2],), dynamic_shapes=({0: torch.export.Dim("batch")},))
    expected, output = model(images), exported.module()(images)
    assert close(output.scores, expected.scores)
    assert close(output.similarities, expected.similarities)
