"""SENN's loss and its penalty, compared with a plain re-implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from methods.senn.small_models import MEAN, STD, batch, make, plain_networks
from resemblance.methods.senn.model import row_gradients


def jacobian(outputs, x, b):
    """Compute the derivatives of the outputs (R,) of image b with respect to its pixels, as rows."""
    return torch.stack([torch.autograd.grad(o, x, create_graph=True)[0][b].flatten() for o in outputs])


def plain_terms(model, images, labels, released):
    """Compute the loss with J_x f − θᵀ J_x h as it is written, image by image and class by class."""
    x = ((images - MEAN) / STD).requires_grad_()
    h, theta, decoded = plain_networks(model, x)
    f = torch.stack([(theta[:, :, c] * h).sum(1) for c in range(theta.shape[2])], dim=1)
    answer = f.log_softmax(1) if released else f
    norms = []
    for b in range(len(x)):
        difference = jacobian(answer[b], x, b) - theta[b].T @ jacobian(h[b], x, b)
        norms.append(difference.square().sum().sqrt())
    terms = {"cross_entropy": -torch.stack([f[b].log_softmax(0)[labels[b]] for b in range(len(x))]).mean()}
    if released:
        terms["robustness"] = 0.01 * torch.stack(norms).square().sum().sqrt()
        return terms
    terms["robustness"] = 0.01 * torch.stack(norms).mean()
    terms["reconstruction"] = ((decoded + 1) / 2 - images).square().mean()
    terms["sparsity"] = 1e-4 * h.abs().sum() / len(x)
    return terms


@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_loss_is_the_plain_one_with_its_gradients(variant, channels):
    model = make(4, concepts=3, channels=channels, variant=variant, size=20, dropout=0.0)
    model.train()
    model.parametrizer[4].p = 0.0
    images, labels = batch(model, 3)
    terms = model.loss(model(images), labels)
    plain = plain_terms(model, images, labels, variant == "released")
    assert terms.keys() == plain.keys()
    for name, term in terms.items():
        assert term.item() == pytest.approx(plain[name].item(), rel=1e-5), name
    parameters = [p for group in model.parameter_groups().values() for p in group]
    gradients = torch.autograd.grad(sum(terms.values()), parameters)
    plain_gradients = torch.autograd.grad(sum(plain.values()), parameters)
    for gradient, expected in zip(gradients, plain_gradients, strict=True):
        assert torch.allclose(gradient, expected, rtol=1e-3, atol=1e-6)
    # The penalty alone: it also has gradients for the concepts, since h weights the gradients of the relevances.
    encoder = list(model.conceptizer.encoder.parameters())
    gradients = torch.autograd.grad(model.loss(model(images), labels)["robustness"], encoder)
    plain = plain_terms(model, images, labels, variant == "released")["robustness"]
    assert all(gradient.abs().max() > 0 for gradient in gradients)
    for gradient, expected in zip(gradients, torch.autograd.grad(plain, encoder), strict=True):
        assert torch.allclose(gradient, expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_the_penalty_is_computed_again_where_gradients_were_off(variant):
    model = make(10, variant=variant, dropout=0.0).eval()
    images, labels = batch(model, 6)
    x = images.clone()
    expected = model.loss(model(x), labels)["robustness"]
    assert expected.requires_grad
    with torch.no_grad():
        assert model.loss(model(images), labels)["robustness"].item() == expected.item()
    with torch.inference_mode():
        penalty = model.loss(model(images.clone()), labels)["robustness"]
        assert penalty.item() == expected.item()
    model.train()
    model.parametrizer[4].p = 0.0
    penalty = model.loss(model(images), labels)["robustness"]
    assert penalty.item() == pytest.approx(expected.item(), rel=1e-6)
    differentiated = images.clone().requires_grad_()
    output = model(differentiated)
    assert model.loss(output, labels)["robustness"].item() == pytest.approx(expected.item(), rel=1e-6)
    output.scores.sum().backward()
    assert differentiated.grad.abs().max() > 0


def test_both_ways_of_taking_gradients_agree():
    model = make(4).train()
    images, _ = batch(model, 6)
    output = model(images)
    rows = torch.randn(3, len(images), 4)
    x = output.extras["x_theta"]
    one, other = (
        row_gradients(output.scores, x, rows, create_graph=True, batched=batched) for batched in (True, False)
    )
    assert torch.allclose(one, other, atol=1e-7)
    weight = model.parametrizer[0].weight
    first, second = (
        torch.autograd.grad(g.square().sum(), weight, retain_graph=True)[0] for g in (one, other)
    )
    assert torch.allclose(first, second, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_random_directions_estimate_the_squared_penalty_without_bias(variant):
    model = make(5, concepts=4, size=16, variant=variant, dropout=0.0).train()
    model.parametrizer[4].p = 0.0
    images, _ = batch(model, 1)
    exact = model.penalty(model(images)).item() ** 2
    model.config.directions = 2
    torch.manual_seed(0)
    squares = np.array([model.penalty(model(images)).item() ** 2 for _ in range(100)])
    error = squares.std() / np.sqrt(len(squares))
    assert 0 < error < 0.1 * exact
    assert abs(squares.mean() - exact) < 4 * error


def test_directions_are_those_of_the_step_in_training_and_fixed_in_evaluation():
    model = make(30, concepts=4)  # with more than 20 classes, it is estimated by default
    images, labels = batch(model, 6)
    assert len(model._rows(torch.zeros(2, 30))[0]) == 10
    assert len(make(20, concepts=4)._rows(torch.zeros(2, 20))[0]) == 20
    model.config.directions = 0
    assert len(model._rows(torch.zeros(2, 30))[0]) == 30
    model.config.directions = 3
    model.train()
    assert not torch.equal(model._rows(torch.zeros(2, 30))[0], model._rows(torch.zeros(2, 30))[0])
    model.eval()
    state = torch.get_rng_state()
    first, second = (model.loss(model(images), labels)["robustness"].item() for _ in range(2))
    assert first == second
    assert torch.equal(torch.get_rng_state(), state)


def test_released_without_penalty_has_the_terms_that_the_penalty_drops():
    model = make(10, variant="released", robustness=0.0).eval()
    images, labels = batch(model, 6)
    terms = model.loss(model(images), labels)
    x = (images - MEAN) / STD
    h, _, decoded = plain_networks(model, x)
    assert list(terms) == ["cross_entropy", "reconstruction", "sparsity"]
    assert terms["reconstruction"].item() == pytest.approx((decoded - x).square().mean().item(), rel=1e-5)
    assert terms["sparsity"].item() == pytest.approx(1e-4 * h.abs().sum().item(), rel=1e-5)
    assert "decoder" in model.parameter_groups()
    assert "decoder" not in make(10, variant="released").parameter_groups()
    paper = make(10, robustness=0.0).eval()
    assert list(paper.loss(paper(images), labels)) == ["cross_entropy", "reconstruction", "sparsity"]


def test_the_released_norm_is_over_the_batches_of_all_processes(monkeypatch):
    model = make(10, variant="released").eval()
    images, labels = batch(model, 6)
    whole = model.loss(model(images), labels)["robustness"]
    halves = [model.loss(model(part), labels[:3])["robustness"].detach() for part in images.split(3)]
    assert whole.item() == pytest.approx(float(torch.stack(halves).norm()), rel=1e-5)
    other = halves[1] / 0.01
    monkeypatch.setattr(
        "resemblance.methods.senn.model.gather", lambda tensor: torch.cat([tensor, other[None]])
    )
    assert model.loss(model(images[:3]), labels[:3])["robustness"].item() == pytest.approx(
        whole.item(), rel=1e-5
    )
