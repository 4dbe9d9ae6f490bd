"""Misalignment: the fact sheet's values, plain loops, and a real attack on every method that has maps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cases import METHODS, made
from metrics.since.made_regions import generator
from resemblance.core.prototype_model import PrototypeModel
from resemblance.metrics.since.misalignment import (
    Misalignment,
    Response,
    activation_change,
    location_change,
    ranking_change,
)
from resemblance.metrics.since.outside_attack import RELEASED_EPS, outside_attack, outside_of
from resemblance.training.attacks.noise import ImageNoise


def with_maps(method):
    model = made(method).eval()
    return isinstance(model, PrototypeModel) and model.prototypes.has_maps


METHODS_WITH_MAPS = [method for method in METHODS if with_maps(method)]


def test_the_values_of_the_fact_sheet():
    """A 7×7 map of zeros with 4 at (3, 3) against 3 at (3, 4): PAC 25, PLC 66.67."""
    before, after = torch.zeros(1, 7, 7), torch.zeros(1, 7, 7)
    before[0, 3, 3], after[0, 3, 4] = 4.0, 3.0
    assert activation_change(before.amax(dim=(1, 2)), after.amax(dim=(1, 2))).item() == 25.0
    assert location_change(before, after, (224, 224)).item() == pytest.approx(200 / 3)


def plain_changes(before, after, which, owners, labels, size):
    rows = []
    for image in range(len(which)):
        s, t = before.similarities[image].clamp_min(0), after.similarities[image].clamp_min(0)
        k = int(which[image])
        fall = 100 * (1 - t[k] / s[k]).item() if s[k] > 0 else math.nan
        foreign = [p for p in range(len(s)) if not (owners[p] & owners[k]).any()]
        rank = sum((t[p] > t[k]).item() for p in foreign) - sum((s[p] > s[k]).item() for p in foreign)
        tops = []
        for maps in (before.maps, after.maps):
            large = F.interpolate(maps[image][None, None].clamp_min(0), size=size, mode="bilinear")[
                0, 0
            ].numpy()
            tops.append(large > np.quantile(large, 0.9))
        union = (tops[0] | tops[1]).sum()
        moved = 100 * (1 - (tops[0] & tops[1]).sum() / union) if union else math.nan
        right = [int(response.predictions[image] == labels[image]) for response in (before, after)]
        rows.append([fall, rank, moved, 100 * (right[0] - right[1])])
    return np.array(rows)


def response(seed, images=9):
    similarities = torch.randn(images, 6, generator=generator(seed), dtype=torch.float64)
    maps = torch.randn(images, 5, 5, generator=generator(seed + 1), dtype=torch.float64)
    return Response(similarities, maps, torch.randint(2, (images,), generator=generator(seed + 2)))


def test_misalignment_is_the_plain_loop():
    before, after, noise = response(0), response(10), response(20)
    before.maps[4], after.maps[4] = -1.0, -1.0  # nothing above 0
    which = torch.randint(6, (9,), generator=generator(3))
    owners = torch.eye(3).bool().repeat_interleave(2, dim=0)
    owners[0, 1] = True  # shared
    labels = torch.arange(9) % 2
    metric = Misalignment((30, 25))
    for chosen in (slice(0, 4), slice(4, None)):
        parts = (Response(*(tensor[chosen] for tensor in answers)) for answers in (before, after, noise))
        first, second, third = parts
        metric.update(first, second, which[chosen], owners, labels[chosen], noise=third)
    summary = metric.summary()
    names = ("ranking change", "location change", "accuracy change")
    expected = np.nanmean(plain_changes(before, after, which, owners, labels, (30, 25)), axis=0)
    assert [summary.value, *(summary.variants[name] for name in names)] == pytest.approx(expected.tolist())
    expected = np.nanmean(plain_changes(before, noise, which, owners, labels, (30, 25)), axis=0)
    assert list(summary.baselines.values()) == pytest.approx(expected.tolist())
    without = int((before.similarities.gather(1, which[:, None]) <= 0).sum())
    assert 0 < summary.counts["images without a positive similarity"] == without < 9
    assert summary.counts["images whose maps have no top tenth"] == 1
    assert metric.compute().item() == summary.value


def test_prototypes_of_a_shared_class_are_not_foreign():
    owners = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 1]]).bool()
    before, after = torch.tensor([[3.0, 2.0, 1.0]]), torch.tensor([[0.0, 2.0, 1.0]])
    assert ranking_change(before, after, torch.tensor([0]), owners).item() == 1


def test_the_box_has_a_margin():
    maps = torch.zeros(2, 7, 7)
    maps[0, 3, 3], maps[1, 0, 6] = 1.0, 1.0
    tight, wide = (outside_of(maps, (224, 224), margin=margin) for margin in (0.5, 10))
    rows, columns = (~wide[0, 0]).nonzero().amin(dim=0), (~wide[0, 0]).nonzero().amax(dim=0)
    inner = (~tight[0, 0]).nonzero()
    assert (rows == inner.amin(dim=0) - 9).all()
    assert (columns == inner.amax(dim=0) + 9).all()
    assert not wide[1, 0, 0, 223]
    assert wide[1, 0, 223, 0]
    assert not outside_of(torch.zeros(1, 7, 7), (28, 28)).any()  # no map, no box


@pytest.mark.parametrize("method", METHODS_WITH_MAPS)
def test_every_method_is_attacked_from_outside(method):
    model = made(method).eval()
    images = torch.rand(3, 1, 16, 16, generator=generator(1))
    with torch.no_grad():
        clean = model(images)
        which = clean.similarities.argmax(dim=1)
        maps = model.prototypes.maps(model.latents(images))[torch.arange(3), which]
    outside = outside_of(maps, (16, 16), percent=99, margin=1)

    def similarity(x):
        return model(x).similarities.gather(1, which[:, None])[:, 0]

    attacked = outside_attack(similarity, images, outside, steps=5)
    change = (attacked.images - images).abs()
    assert change.masked_fill(outside, 0).max() == 0
    assert change.max() <= 8 / 255 + 1e-6
    assert (attacked.after <= attacked.before).all()
    changed = outside.flatten(1).any(dim=1) & ~attacked.blind
    assert (attacked.after < attacked.before)[changed].any() or not changed.any()
    noise = outside_attack(
        similarity,
        images,
        outside,
        definition="released",
        std=model.spec.image.std,
        noise=ImageNoise(0, [4, 5, 6]),
    )
    change = (noise.images - images).abs()
    assert change.masked_fill(outside, 0).max() == 0
    assert change.max() <= RELEASED_EPS * model.spec.image.std[0] + 1e-6
    assert noise.blind.all()


def test_the_attack_finds_what_noise_does_not():
    """A prototype that adds up all pixels, of which noise moves the mean by nothing, and the attack by all."""
    images = torch.full((2, 3, 16, 16), 0.5, dtype=torch.float64)
    outside = torch.ones(2, 1, 16, 16, dtype=torch.bool)
    outside[:, :, 4:8, 4:8] = False

    def similarity(x):
        return x.mean(dim=(1, 2, 3))

    attack = outside_attack(similarity, images, outside)
    noise = outside_attack(similarity, images, outside, definition="released", std=(0.08,) * 3)
    falls = [activation_change(result.before, result.after) for result in (attack, noise)]
    share = outside.double().mean().item()
    assert falls[0].tolist() == pytest.approx([100 * share * 8 / 255 / 0.5] * 2)
    assert falls[1].abs().max() < 0.5


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_without_images_everything_is_nan():
    metric = Misalignment((8, 8))
    assert math.isnan(metric.compute().item())
    assert math.isnan(metric.summary().value)
