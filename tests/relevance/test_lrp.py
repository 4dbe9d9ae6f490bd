"""LRP and PRP against values of the papers, plain re-implementations, zennit, and what must hold for every model."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models import batch, make
from relevance import plain_lrp as plain
from resemblance.config.errors import UserError
from resemblance.relevance.lrp import lrp_maps, prp_maps
from resemblance.relevance.lrp.conservation import conserved
from resemblance.relevance.lrp.interception import Rules
from resemblance.relevance.lrp.rules import (
    Propagation,
    Term,
    never_zero,
    positive_terms,
    shared_sum,
    unchanged,
)

W = torch.tensor([[1.0, -1.0], [2.0, 1.0]], dtype=torch.float64)
X = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
ONES = torch.ones(1, 2, dtype=torch.float64)
METHODS = {
    "protopnet": {"encoder": "small"},
    "tesnet": {"encoder": "small"},
    "protopool": {"encoder": "small"},
    "prototree": {"encoder": "small"},
    "deformable": {"encoder": "small"},
    "kmex": {"encoder": "small"},
    "pipnet": {"encoder": "small"},
    "protovae": {},
    "prototypedl": {},
    "flint": {},
    "senn": {},
}


def close(ours, expected, tolerance=1e-6):
    assert torch.allclose(
        ours, torch.as_tensor(expected, dtype=ours.dtype), rtol=tolerance, atol=tolerance
    ), ours


def relevance_of(network, images, seed, **options):
    """Relevance of images for a seed at the network's output."""
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    x = images.clone().requires_grad_()
    with Rules(x, **options):
        outputs = network(x)
    return torch.autograd.grad(outputs, x, seed(outputs) if callable(seed) else seed)[0]


class TestRules:
    """The values of the fact sheet, section 7.2."""

    def test_positive_weights(self):
        close(Propagation(F.linear, positive_terms(X), W, never_zero).backward(ONES), [[1.5, 0.5]])

    def test_epsilon_keeps_the_bias_in_the_denominator(self):
        rule = Propagation(
            F.linear, [Term(X, unchanged)], W, offset=torch.tensor([0.5, 0.0], dtype=torch.float64)
        )
        close(rule.backward(ONES), [[-1.5, 4.5]], 1e-5)

    def test_box(self):
        network = nn.Sequential(nn.Linear(2, 2, bias=False)).double()
        network[0].weight = nn.Parameter(W)

        def scaled(x):  # so that x is in [−1, 1] where the image is in [0, 1]
            return network(2 * x - 1)

        x = ((X + 1) / 2).requires_grad_()
        network.requires_grad_(False)
        with Rules(x):
            outputs = scaled(x)
        close(torch.autograd.grad(outputs, x, ONES)[0], [[2.571429, -0.571429]], 1e-5)

    def test_sum(self):
        a, b = torch.tensor([3.0, 1.0], requires_grad=True), torch.tensor([1.0, 1.0], requires_grad=True)
        shared_sum(a, b).backward(torch.tensor([4.0, 2.0]))
        close(a.grad, [3.0, 1.0]), close(b.grad, [1.0, 1.0])

    def test_negative_inputs_with_negative_weights_count_as_positive(self):
        signed = torch.tensor([[-1.0, 2.0]], dtype=torch.float64)
        ours = Propagation(F.linear, positive_terms(signed), W, never_zero).backward(ONES)
        close(ours[0], plain.z_plus(W, signed[0], ONES[0]), 1e-12)

    def test_outputs_without_positive_contributions_lose_their_relevance(self):
        rule = Propagation(F.linear, positive_terms(-X.abs()), W.abs(), never_zero)
        assert rule.backward(ONES).tolist() == [[0.0, 0.0]]


class Residual(nn.Module):
    """Convolutions with batch norm, batch norm after an activation, a residual sum, pooling and a linear layer."""

    def __init__(self):
        super().__init__()
        self.first, self.norm1 = nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.second, self.norm2 = nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3)
        self.after = nn.BatchNorm2d(3)
        self.last = nn.Linear(3, 4)

    def forward(self, x):
        x = F.max_pool2d(self.norm1(self.first((x - 0.3) / 0.2)).relu_(), 2)
        shortcut = x
        x = self.norm2(self.second(x))
        x += shortcut
        x = self.after(F.relu(x, inplace=True))
        return self.last(F.adaptive_avg_pool2d(x, 1).flatten(1))


def residual():
    torch.manual_seed(3)
    network = Residual().double().eval()
    for norm in (network.norm1, network.norm2, network.after):
        norm.weight.data.uniform_(-1.5, 1.5)  # negative ones exchange W⁺ and W⁻
        norm.bias.data.uniform_(0.1, 0.9)
        norm.running_mean.uniform_(-0.2, 0.2)
        norm.running_var.uniform_(0.5, 2.0)
    return network


def plainly(network, image, seed):
    """The relevance of one image of `Residual`, layer by layer."""

    def merged(norm):
        return (norm.weight / (norm.running_var + norm.eps).sqrt()).reshape(-1, 1, 1)

    with torch.no_grad():
        x = (image - 0.3) / 0.2
        w1, _ = matrix_of(network.first, network.norm1, x.shape)
        a = network.norm1(network.first(x[None]))[0].relu()
        b = F.max_pool2d(a, 2)
        w2, _ = matrix_of(network.second, network.norm2, b.shape)
        c = network.norm2(network.second(b[None]))[0]
        d = network.after((c + b)[None].relu())[0]
        pooled, _ = plain.matrix(lambda t: F.adaptive_avg_pool2d(t, 1), d.shape)
        e = pooled @ d.flatten()
        r_e = plain.epsilon(network.last.weight, e, seed, network.last.bias)
        r_d = plain.epsilon(pooled, d.flatten(), r_e).reshape(d.shape)  # and through batch norm and ReLU
        r_c, r_b = plain.shared(c, b, r_d)
        r_b = r_b + plain.z_plus(w2, b.flatten(), r_c.flatten()).reshape(b.shape)
        r_a = plain.winner(a, 2, r_b)
        low, high = (torch.full_like(x, value).flatten() for value in (-0.3 / 0.2, 0.7 / 0.2))
        return plain.box(w1, x.flatten(), low, high, r_a.flatten()).reshape(x.shape)


def matrix_of(convolution, norm, shape):
    scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).reshape(-1, 1, 1)
    return plain.matrix(
        lambda t: F.conv2d(t, convolution.weight * scale[..., None], padding=convolution.padding), shape
    )


class TestNetwork:
    def test_is_that_of_a_plain_implementation_in_float64(self):
        network, images = residual(), torch.rand(5, 2, 8, 8, dtype=torch.float64)
        seeds = torch.randn(5, 4, dtype=torch.float64)
        ours = relevance_of(network, images, seeds)
        expected = torch.stack([plainly(network, x, seed) for x, seed in zip(images, seeds, strict=True)])
        assert ((ours - expected).abs().max() / expected.abs().max()) < 1e-9

    def test_float32_stays_near_float64(self):
        network, images = residual(), torch.rand(4, 2, 8, 8)
        seeds = torch.rand(4, 4)
        exact = relevance_of(network, images.double(), seeds.double())
        rounded = relevance_of(network.float(), images, seeds)
        assert ((rounded - exact).abs().max() / exact.abs().max()) < 1e-4

    def test_does_not_depend_on_the_batch(self):
        network, images, seeds = residual(), torch.rand(4, 2, 8, 8).double(), torch.rand(4, 4).double()
        together = relevance_of(network, images, seeds)
        alone = torch.cat([relevance_of(network, images[i : i + 1], seeds[i : i + 1]) for i in range(4)])
        assert torch.allclose(together, alone, rtol=1e-9, atol=1e-12)

    def test_released_bounds_are_those_of_all_channels(self):
        network = nn.Sequential(nn.Conv2d(2, 3, 3)).double().requires_grad_(False)
        mean, std = (
            torch.tensor([0.2, 0.5]).reshape(2, 1, 1).double(),
            torch.tensor([0.1, 0.4]).reshape(2, 1, 1).double(),
        )
        image = torch.rand(1, 2, 5, 5, dtype=torch.float64)
        x = image.clone().requires_grad_()
        with Rules(x, "released"):
            outputs = network((x - mean) / std)
        ours = torch.autograd.grad(outputs, x, torch.ones_like(outputs))[0]
        low, high = (-mean / std).min(), ((1 - mean) / std).max()
        w, _ = plain.matrix(lambda t: F.conv2d(t, network[0].weight), (2, 5, 5))
        inputs = ((image[0] - mean) / std).flatten()
        bounds = torch.full_like(inputs, low), torch.full_like(inputs, high)
        expected = plain.box(w, inputs, *bounds, torch.ones(27, dtype=torch.float64))
        assert torch.allclose(ours.flatten(), expected, rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
class TestEveryMethod:
    def test_relevance_is_conserved(self, method):
        model = make(method, **METHODS[method]).eval()
        images, _ = batch(model)
        model.requires_grad_(False)
        share = conserved(images, model.latents)
        assert ((share - 1).abs() < 0.01).all(), share

    def test_maps_are_finite_and_the_same_one_by_one(self, method):
        model = make(method, **METHODS[method]).double().eval()
        images, _ = batch(model)
        which = torch.tensor([[0, 1], [2, 0], [1, 1], [2, 2]])
        together = prp_maps(model, images.double(), which)
        alone = torch.cat([prp_maps(model, images[i : i + 1].double(), which[i : i + 1]) for i in range(4)])
        assert together.shape == (4, 2, 28, 28)
        assert together.dtype == torch.float64
        assert together.isfinite().all()
        assert (together != 0).any(dim=(2, 3)).all()
        assert torch.allclose(together, alone, rtol=1e-9, atol=1e-12 * float(together.abs().max()))

    def test_gives_the_model_back_unharmed(self, method):
        model = make(method, **METHODS[method])
        images, _ = batch(model)
        model.prototypes.vectors.requires_grad_(False)
        flags = [p.requires_grad for p in model.parameters()]
        modes = [m.training for m in model.modules()]
        state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        prp_maps(model, images, torch.tensor([0, 1]))
        assert [p.requires_grad for p in model.parameters()] == flags
        assert [m.training for m in model.modules()] == modes
        assert all(p.grad is None for p in model.parameters())
        for name, tensor in model.state_dict().items():
            torch.testing.assert_close(tensor, state[name], rtol=0, atol=0, equal_nan=True)
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())

    def test_a_class_has_the_relevance_of_its_contributions(self, method):
        model = make(method, **METHODS[method]).double().eval()
        images, labels = batch(model)
        images = images.double()
        if method == "prototree":
            with pytest.raises(UserError, match="path through a tree"):
                lrp_maps(model, images, labels)
            return
        maps = lrp_maps(model, images, labels)
        evidence = model.evidence(model(images), labels)
        each = prp_maps(model, images, evidence.prototypes)
        expected = (each * evidence.contributions[:, :, None, None]).sum(dim=1)
        assert torch.allclose(maps, expected, atol=1e-9 * float(expected.detach().abs().max()) + 1e-15)


def test_no_images_no_maps():
    model = make("protopnet", encoder="small")
    assert prp_maps(model, torch.zeros(0, 1, 28, 28), torch.tensor([0])).shape == (0, 1, 28, 28)
    assert prp_maps(model, torch.zeros(2, 1, 28, 28), torch.tensor([], dtype=torch.int64)).shape == (
        2,
        0,
        28,
        28,
    )
