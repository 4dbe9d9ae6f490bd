"""LRP through the encoders of timm and torchvision: what is seen, conserved, refused, and what zennit computes."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models import batch, make
from resemblance.config.errors import UserError
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.prototypes.vectors import VectorPrototypes
from resemblance.relevance.lrp import lrp_maps, operations, prp_maps
from resemblance.relevance.lrp.conservation import conserved
from resemblance.relevance.lrp.interception import Rules
from resemblance.relevance.lrp.rules import shared_sum


def settle(model):
    """Give batch norms statistics of images, so that a new network is not dead."""
    images, _ = batch(model, 8)
    model.train()
    with torch.no_grad():
        for _ in range(20):
            model(images.to(next(model.parameters()).dtype))
    model.eval()


class TestEncoders:
    @pytest.mark.parametrize(
        ("name", "sums"), [("resnet18", 8), ("tf_efficientnet_lite0", 9), ("torchvision/resnet18", 8)]
    )
    def test_every_residual_sum_is_seen(self, name, sums, monkeypatch):
        seen = []

        def counted(first, second):
            seen.append(first.shape)
            return shared_sum(first, second)

        monkeypatch.setattr(operations, "shared_sum", counted)
        model = make("blackbox", encoder=name, size=64, channels=3).eval().requires_grad_(False)
        x = torch.rand(1, 3, 64, 64, requires_grad=True)
        with Rules(x):
            model.latents(x)
        assert len(seen) == sums

    @pytest.mark.parametrize(
        "name",
        [
            "resnet18",
            "tf_efficientnet_lite0",
            "densenet121",
            pytest.param("torchvision/vgg11", marks=pytest.mark.slow),
            "convnext_atto",
            "seresnet18",
        ],
    )
    def test_relevance_is_conserved(self, name):
        model = make("blackbox", encoder=name, size=64, channels=3)
        settle(model)
        images, _ = batch(model, 2)
        model.requires_grad_(False)
        share = conserved(images, lambda x: model(x).scores)
        assert ((share - 1).abs() < 0.05).all(), share

    def test_transformers_are_refused_by_name(self):
        model = make("blackbox", encoder="vit_tiny_patch16_224", size=224, channels=3)
        with pytest.raises(
            UserError, match=r"blackbox: .*no rule for scaled_dot_product_attention.*smoothgrad"
        ):
            lrp_maps(model, *batch(model, 1))

    def test_a_network_that_loses_relevance_is_refused(self):
        model = make("blackbox", encoder="small")
        model.encoder.layers = Changed(model.encoder.layers, lambda x: x.square().sqrt())
        with pytest.raises(UserError, match=r"blackbox: .*relevance.*smoothgrad"):
            lrp_maps(model, *batch(model))

    def test_batch_norm_without_running_statistics_is_refused(self):
        model = make("blackbox", encoder="small")
        norm = nn.BatchNorm2d(128, track_running_stats=False)
        model.encoder.layers = nn.Sequential(model.encoder.layers, norm)
        with pytest.raises(UserError, match="statistics from the batch"):
            lrp_maps(model, *batch(model))

    def test_prototypes_without_a_rule_are_refused_by_name(self, monkeypatch):
        monkeypatch.setattr(VectorPrototypes, "shares", PrototypeLayer.shares)
        model = make("protopnet", encoder="small")
        with pytest.raises(
            UserError, match=r"protopnet: .*VectorPrototypes has no rule of relevance.*smoothgrad"
        ):
            prp_maps(model, batch(model)[0], torch.tensor([0]))

    def test_other_errors_of_a_network_are_not_taken_for_a_refusal(self):
        def broken(x):
            raise NotImplementedError("not for this device")

        model = make("blackbox", encoder="small")
        model.encoder.layers = Changed(model.encoder.layers, broken)
        with pytest.raises(NotImplementedError, match="not for this device"):
            lrp_maps(model, *batch(model))

    def test_a_length_that_is_divided_by_takes_no_relevance(self):
        model = make("blackbox", encoder="small").eval().requires_grad_(False)
        images, _ = batch(model)

        def relevance():
            x = images.clone().requires_grad_()
            with Rules(x):
                latents = model.latents(x)
            return torch.autograd.grad(latents, x, torch.ones_like(latents))[0]

        plainly = relevance()
        model.encoder.layers = Changed(model.encoder.layers, lambda x: 2 * x / (x.square().mean().sqrt() + 1))
        # ε weighs a little less in larger numbers.
        assert (relevance() - plainly).abs().max() < 5e-3 * plainly.abs().max()

    def test_results_that_are_only_changed_in_place_are_refused(self):
        def changed(x):
            x.mul_(2)
            return x

        model = make("blackbox", encoder="small")
        model.encoder.layers = Changed(model.encoder.layers, changed)
        with pytest.raises(UserError, match="in place"):
            lrp_maps(model, *batch(model))


class Changed(nn.Module):
    """A network followed by something else."""

    def __init__(self, inner, change):
        super().__init__()
        self.inner, self.change = inner, change

    def forward(self, x):
        return self.change(self.inner(x))


class TestAgainstZennit:
    """zennit's own rules, in the composite of the papers."""

    @pytest.mark.parametrize(
        "name", ["torchvision/resnet18", pytest.param("torchvision/vgg11", marks=pytest.mark.slow)]
    )
    def test_same_maps_on_torchvision_networks(self, name):
        pytest.importorskip("zennit")
        from zennit.attribution import Gradient
        from zennit.canonizers import SequentialMergeBatchNorm
        from zennit.composites import SpecialFirstLayerMapComposite
        from zennit.layer import Sum
        from zennit.rules import Epsilon, Norm, Pass, ZBox, ZPlus
        from zennit.torchvision import ResNetCanonizer
        from zennit.types import Activation, AvgPool, BatchNorm, Convolution, Linear

        model = make("blackbox", encoder=name, size=64, channels=3, mean=0.4, std=0.3).double().eval()
        settle(model)
        images, labels = batch(model, 2)
        images = images.double()
        network = model.encoder
        low = torch.full((1, 3, 64, 64), -0.4 / 0.3).double()
        high = torch.full((1, 3, 64, 64), 0.6 / 0.3).double()
        composite = SpecialFirstLayerMapComposite(
            layer_map=[
                (Activation, Pass()),
                (Sum, Norm()),
                (AvgPool, Norm()),
                (BatchNorm, Pass()),
                (Convolution, ZPlus(stabilizer=1e-12, zero_params=["bias"])),
                (Linear, Epsilon(1e-6)),
            ],
            first_map=[(Convolution, ZBox(low, high, zero_params=["bias"]))],
            canonizers=[ResNetCanonizer() if "resnet" in name else SequentialMergeBatchNorm()],
        )
        one = F.one_hot(labels, 3).double()
        with Gradient(model=network, composite=composite) as attributor:
            _, expected = attributor((images - 0.4) / 0.3, one)
        ours = lrp_maps(model, images, labels)
        expected = expected.sum(dim=1)
        difference = (ours - expected).abs().max() / expected.abs().max()
        assert difference < 2e-4, difference  # stabilisers of sums differ
