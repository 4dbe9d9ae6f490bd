from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from resemblance.metrics import AverageDrop, AverageIncrease
from resemblance.metrics.paper.pixels import (
    baseline_images,
    kept_images,
    kept_pixels,
    pixel_noise,
    pixel_order,
    random_order,
    ranks_of,
    zero_maps,
)

Y, KEPT = torch.tensor([2.0, 1.0, 4.0]), torch.tensor([1.5, 1.2, 4.0])


def test_the_example_of_the_fact_sheet():
    drop, increase = AverageDrop(), AverageIncrease()
    for metric in (drop, increase):
        metric.update(Y, KEPT)
    assert drop.compute().item() == pytest.approx(0.083333, abs=5e-7)
    assert increase.compute().item() == pytest.approx(1 / 3)


@pytest.mark.parametrize("metric", [AverageDrop, AverageIncrease])
def test_pairs_without_a_positive_similarity_are_left_out_and_counted(metric):
    plain, more = metric(), metric()
    plain.update(Y, KEPT)
    nan, inf = torch.nan, torch.inf
    more.update(
        torch.cat([Y, torch.tensor([0.0, -1.0, nan, 1.0, inf])]),
        torch.cat([KEPT, torch.tensor([3.0, 5.0, 1.0, nan, 1.0])]),
        zero_maps=torch.tensor([True, False, False, True, False, True, False, False]),
    )
    assert more.compute() == plain.compute()
    assert more.counted() == {"measured": 3, "nonpositive": 2, "undefined": 3, "zero_maps": 1}
    nothing = metric()
    nothing.update(-Y, KEPT)
    assert nothing.compute().isnan()


def test_the_released_drop_divides_by_a_little_more():
    released = AverageDrop("released")
    released.update(torch.tensor([1e-8]), torch.tensor([0.0]))
    assert released.compute().item() == pytest.approx(0.5)
    default = AverageDrop()
    default.update(torch.tensor([1e-8]), torch.tensor([0.0]))
    assert default.compute().item() == 1


@given(st.lists(st.floats(0.125, 10, width=32), min_size=1, max_size=20), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_drop_and_increase_by_their_formulas(clean, seed):
    kept = 10 * torch.rand(len(clean), generator=torch.Generator().manual_seed(seed))
    drop, increase = AverageDrop(), AverageIncrease()
    for metric in (drop, increase):
        metric.update(torch.tensor(clean), kept)
    pairs = list(zip(torch.tensor(clean).tolist(), kept.tolist(), strict=True))
    assert drop.compute().item() == pytest.approx(sum(max(0, y - o) / y for y, o in pairs) / len(pairs))
    assert increase.compute().item() == pytest.approx(sum(o > y for y, o in pairs) / len(pairs))
    assert 0 <= drop.compute() <= 1


def test_noise_depends_on_seed_and_image_only():
    indices = torch.tensor([5, 0, 123_456])
    noise = pixel_noise(7, indices, 10_000)
    assert torch.equal(pixel_noise(7, indices.flip(0), 10_000), noise.flip(0))
    assert torch.equal(pixel_noise(7, indices[1:2], 100), noise[1:2, :100])
    assert not torch.equal(pixel_noise(8, indices, 10_000), noise)


def test_noise_is_uniform_and_independent():
    noise = pixel_noise(0, torch.arange(200), 1000)
    assert noise.min() >= 0
    assert noise.max() < 1
    shares = torch.histc(noise, 20, 0, 1) / noise.numel()
    assert (shares - 0.05).abs().max() < 0.002
    rows = torch.cat([noise[:50], pixel_noise(1, torch.arange(50), 1000), noise[:50].roll(1, 1)])
    correlations = torch.corrcoef(rows) - torch.eye(len(rows))
    assert correlations.abs().max() < 0.2


@pytest.mark.parametrize("ties", ["random", "stable"])
@pytest.mark.parametrize("by", ["magnitude", "signed"])
def test_order_is_by_relevance(by, ties):
    generator = torch.Generator().manual_seed(0)
    maps = torch.randint(-2, 3, (4, 3, 5, 6), generator=generator).float()  # many ties
    order = pixel_order(maps, torch.arange(4), by=by, ties=ties)
    values = maps.flatten(2).abs() if by == "magnitude" else maps.flatten(2)
    assert (values.gather(2, order).diff(dim=2) >= 0).all()
    assert torch.equal(order.sort(dim=2).values, torch.arange(30).expand(4, 3, 30))
    assert torch.equal(ranks_of(order).gather(2, order), torch.arange(30).expand(4, 3, 30))


def test_random_ties_depend_on_the_seed_and_not_on_the_batch():
    maps = torch.zeros(5, 2, 8, 8)
    indices = torch.arange(10, 15)
    order = pixel_order(maps, indices, seed=3)
    assert torch.equal(pixel_order(maps[2:3], indices[2:3], seed=3), order[2:3])
    assert not torch.equal(pixel_order(maps, indices, seed=4), order)
    assert torch.equal(order[:, 0], random_order(indices, 64, seed=3))  # an empty map is random order
    counts = torch.zeros(64)
    for seed in range(50):
        kept = kept_pixels(pixel_order(maps, indices, seed=seed), (8, 8))
        assert (kept.sum(dim=(2, 3)) == 32).all()
        counts += kept[:, 0].flatten(1).sum(dim=0)
    assert (counts / 250 - 0.5).abs().max() < 0.15  # no pixel is preferred


def test_stable_ties_remove_the_upper_half_of_an_empty_map():
    kept = kept_pixels(pixel_order(torch.zeros(1, 4, 4), torch.tensor([0]), ties="stable"), (4, 4))
    assert kept[0].tolist() == [[False] * 4] * 2 + [[True] * 4] * 2


@pytest.mark.parametrize(("size", "replaced"), [((4, 4), 8), ((3, 3), 4), ((1, 1), 0)])
def test_half_of_the_pixels_rounded_down_is_replaced(size, replaced):
    maps = torch.randn(2, *size, generator=torch.Generator().manual_seed(0))
    order = pixel_order(maps, torch.arange(2))
    kept = kept_pixels(order, size)
    assert ((~kept).sum(dim=(1, 2)) == replaced).all()
    inverted = kept_pixels(order, size, keep="least important")
    assert ((~inverted).sum(dim=(1, 2)) == replaced).all()
    for mask, map_, lowest in itertools.chain(
        ((k, m, True) for k, m in zip(kept, maps, strict=True)),
        ((k, m, False) for k, m in zip(inverted, maps, strict=True)),
    ):
        if not replaced:
            continue
        gone, left = map_.abs()[~mask], map_.abs()[mask]
        assert gone.max() <= left.min() if lowest else gone.min() >= left.max()


def test_nan_relevance_is_the_least_important():
    maps = torch.tensor([[[0.0, torch.nan], [1.0, 2.0]]])
    for by in ("magnitude", "signed"):
        assert pixel_order(maps, torch.tensor([0]), by=by)[0].tolist() == [1, 0, 2, 3]
    assert zero_maps(torch.stack([0 * maps, torch.zeros(1, 2, 2)])).tolist() == [[False], [True]]


def test_channels_are_replaced_together_by_black_or_by_seeded_noise():
    images = torch.rand(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    indices = torch.tensor([4, 9, 2])
    kept = torch.rand(3, 5, 4, 4, generator=torch.Generator().manual_seed(1)) < 0.5
    black = kept_images(images, kept, baseline_images(images, indices))
    noise = baseline_images(images, indices, "noise", seed=1)
    noisy = kept_images(images, kept, noise)
    assert black.shape == noisy.shape == (3, 5, 2, 4, 4)
    for b, k, c in itertools.product(range(3), range(5), range(2)):
        mask = kept[b, k]
        assert torch.equal(black[b, k, c], images[b, c] * mask)
        assert torch.equal(noisy[b, k, c][mask], images[b, c][mask])
        assert torch.equal(noisy[b, k, c][~mask], noise[b, c][~mask])
    assert torch.equal(baseline_images(images[1:], indices[1:], "noise", seed=1), noise[1:])
    assert not torch.equal(noise[0], noise[1])
    one = baseline_images(images, torch.zeros(3, dtype=torch.int64), "noise")
    assert torch.equal(one[0], one[2])  # as in the released code
    order = random_order(indices, 32, seed=1)
    assert not torch.equal(noise.flatten(1).argsort(dim=1), order)  # the noise does not order the ties
