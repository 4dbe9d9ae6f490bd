"""Parameter randomisation and maximum sensitivity: on every method, and against scipy and plain loops."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from cases import METHODS, made
from metrics.since.made_regions import generator
from resemblance.core.prototype_model import PrototypeModel
from resemblance.metrics.since.map_agreement import rank_correlation, structural_similarity
from resemblance.metrics.since.max_sensitivity import (
    MaximumSensitivity,
    changed_contributions,
    largest_change,
)
from resemblance.metrics.since.parameter_randomization import (
    ParameterRandomization,
    modules_from_the_head,
    randomized,
    randomized_maps,
)
from resemblance.training.attacks.noise import ImageNoise


def images(count=3, size=16, seed=0):
    return torch.rand(count, 1, size, size, generator=generator(seed))


def gradient_maps(model, batch):
    x = batch.clone().requires_grad_()
    scores = model(x).scores
    (gradient,) = torch.autograd.grad(scores.amax(dim=1).sum(), x)
    return (gradient * x).sum(dim=1)


@pytest.mark.parametrize("order", ["cascade", "all"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_given_back_unharmed(method, order):
    model = made(method).train()
    model.requires_grad_(True)
    modes = [module.training for module in model.modules()]
    before = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        first = model.eval()(images()).scores
    model.train()

    def maps():
        assert not model.training
        with torch.no_grad():
            return model(images()).scores[:, None]

    steps = list(randomized_maps(model, maps, order=order, steps=3))
    assert [len(step.names) for step in steps] == sorted({len(step.names) for step in steps})
    assert set(steps[-1].names) == set(modules_from_the_head(model))
    assert any((step.maps[:, 0] != first).any() for step in steps)
    assert [module.training for module in model.modules()] == modes
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name].nan_to_num(7), after[name].nan_to_num(7)) for name in before)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_model_is_restored_when_maps_fail():
    model = nn.Linear(4, 4)
    before = model.weight.clone()

    def fail():
        raise RuntimeError("no maps")

    with pytest.raises(RuntimeError, match="no maps"):
        list(randomized_maps(model, fail))
    assert torch.equal(model.weight, before)


def test_shuffled_tensors_keep_their_values():
    model = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))
    before = copy.deepcopy(model.state_dict())
    with randomized(model, ["0"], seed=1):
        assert not torch.equal(model[0].weight, before["0.weight"])
        torch.testing.assert_close(
            model[0].weight.flatten().sort().values, before["0.weight"].flatten().sort().values
        )
        assert torch.equal(model[2].weight, before["2.weight"])
        once = model[0].weight.clone()
    with randomized(model, ["2", "0"], seed=1):  # the same in any company
        assert torch.equal(model[0].weight, once)
    with randomized(model, ["0"], seed=2):
        assert not torch.equal(model[0].weight, once)


def test_shared_weights_are_shuffled_once():
    first = nn.Linear(3, 3)
    model = nn.Sequential(first, nn.ReLU(), first)
    before = first.weight.clone()
    with randomized(model, modules_from_the_head(model)):
        assert model[0].weight is model[2].weight
    assert torch.equal(first.weight, before)


def test_orders_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="cascade"):
        list(randomized_maps(nn.Linear(1, 1), lambda: torch.zeros(1, 2, 2), order="up"))
    with pytest.raises(ValueError, match="no weights"):
        list(randomized_maps(nn.ReLU(), lambda: torch.zeros(1, 2, 2)))


def test_rank_correlation_is_scipys():
    first = (4 * torch.randn(6, 8, 7, generator=generator(0))).round()  # with ties
    second = first + 3 * torch.randn(6, 8, 7, generator=generator(1)).round()
    expected = [spearmanr(a.flatten(), b.flatten()).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(rank_correlation(first, second), expected, atol=1e-12)
    first[2], second[3, 0, 0] = 1.0, torch.nan
    assert rank_correlation(first, second).isnan().tolist() == [False, False, True, True, False, False]


def test_structural_similarity_window_by_window():
    a = torch.randn(2, 9, 10, generator=generator(0), dtype=torch.float64)
    b = a + torch.randn(2, 9, 10, generator=generator(1), dtype=torch.float64)
    for image in range(2):
        x, y = (maps[image].abs() / maps[image].abs().max() for maps in (a, b))
        values = []
        for row in range(3):
            for column in range(4):
                p, q = x[row : row + 7, column : column + 7], y[row : row + 7, column : column + 7]
                covariance = ((p - p.mean()) * (q - q.mean())).mean()
                top = (2 * p.mean() * q.mean() + 1e-4) * (2 * covariance + 9e-4)
                spread = p.var(correction=0) + q.var(correction=0)
                values.append(top / ((p.mean() ** 2 + q.mean() ** 2 + 1e-4) * (spread + 9e-4)))
        assert structural_similarity(a, b)[image].item() == pytest.approx(
            torch.stack(values).mean().item(), abs=1e-12
        )
    assert structural_similarity(torch.zeros(1, 4, 4), torch.ones(1, 4, 4)).isnan().all()


def test_maps_that_ignore_the_weights_are_found_out():
    model = made("protopnet")
    batch = images(8)
    edges = (batch - batch.roll(1, dims=-1))[:, 0]  # an edge filter, as a map of nothing but the image
    values = {}
    for name, make in (("edges", lambda: edges), ("gradient", lambda: gradient_maps(model, batch))):
        before = make().detach()
        metric = ParameterRandomization()
        for step in randomized_maps(model, make, order="all"):
            metric.update(before, step.maps)
        values[name] = metric.summary()
    assert values["edges"].value == pytest.approx(1)
    assert values["gradient"].value < 0.9
    assert abs(values["edges"].baselines["rank correlation, maps of different images"]) < 0.3


def test_constant_maps_are_left_out_and_counted():
    metric = ParameterRandomization()
    maps = torch.rand(3, 5, 5, generator=generator(0))
    flat = maps.clone()
    flat[1] = 0.0
    metric.update(maps, flat)
    assert metric.compute().item() == pytest.approx(1)
    assert metric.summary().counts == {"images": 3, "images left out": 1}


@pytest.mark.parametrize("method", [m for m in METHODS if isinstance(made(m), PrototypeModel)])
def test_contributions_of_every_method_change_within_the_ball(method):
    model = made(method).eval()
    batch = images()
    with torch.no_grad():
        classes = model(batch).scores.argmax(dim=1)

    def contributions(x):
        return model.evidence(model(x), classes).contributions

    before, after = changed_contributions(contributions, batch, draws=3, noise=ImageNoise(1, [3, 4, 5]))
    metric = MaximumSensitivity()
    metric.update(before, after)
    expected = [
        max(
            float((after[d, image] - before[image]).double().norm() / before[image].double().norm())
            for d in range(3)
        )
        for image in range(3)
        if before[image].any()
    ]
    if expected:
        assert metric.compute().item() == pytest.approx(np.mean(expected), rel=1e-5)
    assert metric.summary().counts["images left out"] == 3 - len(expected)


def test_sensitivity_of_a_linear_map_is_known():
    """Contributions that are the pixels themselves change by at most radius × √n, divided by their length."""
    batch = images(4).double() * 0.5 + 0.25
    before, after = changed_contributions(lambda x: x.flatten(1), batch, radius=0.1, draws=20)
    values = largest_change(before, after)
    lengths = before.norm(dim=1)
    assert (values <= 0.1 * 16 / lengths).all()
    expected = 0.1 * 16 / 3**0.5 / lengths  # the length of uniform noise
    assert (values > expected).all()
    assert (values < 1.2 * expected).all()
    alone = changed_contributions(
        lambda x: x.flatten(1), batch[2:], radius=0.1, draws=20, noise=ImageNoise(0, [2, 3])
    )
    torch.testing.assert_close(largest_change(*alone), values[2:])


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_without_images_everything_is_nan():
    for metric in (ParameterRandomization(), MaximumSensitivity()):
        assert math.isnan(metric.compute().item())
        assert math.isnan(metric.summary().value)
    zero = MaximumSensitivity()
    zero.update(torch.zeros(1, 2), torch.ones(1, 1, 2))
    assert math.isnan(zero.compute().item())
    assert zero.summary().counts["images left out"] == 1
