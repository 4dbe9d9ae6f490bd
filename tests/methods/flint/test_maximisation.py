"""Activation maximisation against a plain loop over images."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from resemblance.methods.flint.maximisation import COLOUR, GREY, LARGE, Ascent, maximise, variation


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 4 * 5, 3))


def images(count=3):
    return torch.rand(count, 2, 6, 7, generator=torch.Generator().manual_seed(1)) * 3 - 1


def test_variation_is_vertical_plus_horizontal():
    x = images()
    for i in range(3):
        vertical = [
            abs(x[i, c, r + 1, k] - x[i, c, r, k]) for c in range(2) for r in range(5) for k in range(7)
        ]
        horizontal = [
            abs(x[i, c, r, k + 1] - x[i, c, r, k]) for c in range(2) for r in range(6) for k in range(6)
        ]
        expected = sum(vertical) / len(vertical) + sum(horizontal) / len(horizontal)
        assert variation(x)[i].item() == pytest.approx(expected.item(), rel=1e-5)


def test_constants_are_the_authors():
    assert (GREY.strength, GREY.variation, GREY.bound, GREY.sparsity) == (2, 6, 10, 0)
    assert (GREY.low, GREY.high, GREY.start) == (0, 1, 0.3)
    assert (GREY.rounds, GREY.steps, GREY.rate, GREY.decay, GREY.jitter) == (12, 50, 0.05, 0.5, 0)
    assert (COLOUR.strength, COLOUR.variation, COLOUR.bound, COLOUR.sparsity) == (2, 20, 20, 0)
    assert (COLOUR.low, COLOUR.high, COLOUR.start) == (-2.5, 2.5, 0.4)
    first, second = LARGE
    assert (first.strength, first.variation, first.start, first.rate) == (4, 80, 0.5, 0.01)
    assert (second.variation, second.start, first.decay) == (240, 1.0, 1 / 1.5)


@pytest.mark.parametrize(
    "ascent", [replace(GREY, rounds=3, steps=4, sparsity=0.5), replace(COLOUR, rounds=2, steps=5)]
)
def test_all_images_at_once_are_changed_like_one_by_one(network, ascent):
    x, columns = images(), [2, 0, 2]
    changed = maximise(network, x, columns, ascent)
    for i, column in enumerate(columns):
        image = (ascent.start * x[i : i + 1]).clone().requires_grad_()
        rate = ascent.rate
        for _ in range(ascent.rounds):
            optimizer = torch.optim.Adam([image], lr=rate)
            for _ in range(ascent.steps):
                outside = ((image > ascent.high).float() + (image < ascent.low).float()) * image.abs()
                tv = (image[:, :, 1:] - image[:, :, :-1]).abs().mean() + (
                    image[:, :, :, 1:] - image[:, :, :, :-1]
                ).abs().mean()
                loss = -ascent.strength * network(image)[0, column]
                loss = loss + ascent.variation * tv + ascent.bound * outside.mean()
                loss = loss + ascent.sparsity * image.abs().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            rate /= 2
        assert torch.allclose(changed[i], image.detach()[0], atol=1e-4)


def test_it_increases_attributes_and_does_not_change_the_function(network):
    network.zero_grad()
    before = [parameter.clone() for parameter in network.parameters()]
    x = images()
    plain = Ascent(variation=0.1, steps=20)
    with torch.no_grad():  # also where gradients are off
        changed = maximise(network, x, torch.tensor([0, 1, 2]), plain)
        gain = network(changed).diagonal() - network(plain.start * x).diagonal()
    assert (gain > 0.1).all()
    assert all(p.grad is None for p in network.parameters())
    assert all(torch.equal(p, q) for p, q in zip(network.parameters(), before, strict=True))
    assert not changed.requires_grad


def test_jitter_is_the_same_each_time(network):
    ascent = replace(GREY, rounds=1, steps=5, jitter=2)
    first, second = (maximise(network, images(), [0, 1, 2], ascent) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, maximise(network, images(), [0, 1, 2], replace(ascent, jitter=0)))
