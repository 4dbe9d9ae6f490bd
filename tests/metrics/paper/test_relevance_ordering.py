from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid
from torch import nn

from resemblance.metrics import RelevanceOrdering
from resemblance.metrics.paper.pixels import baseline_images, pixel_order, random_order
from resemblance.metrics.paper.relevance_ordering import area, fractions_of, ordering_curves


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(2 * 5 * 5, 3), nn.Softmax(dim=1)).double().eval()


def batch():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(4, 2, 5, 5, generator=generator, dtype=torch.float64)
    return images, torch.randn(4, 5, 5, generator=generator), torch.tensor([10, 3, 4, 7])


def test_the_example_of_the_fact_sheet():
    curve = torch.tensor([[0.1, 0.4, 0.7, 0.9]], dtype=torch.float64)
    ordering = RelevanceOrdering(torch.tensor([0, 1 / 3, 2 / 3, 1]))
    ordering.update(curve, curve)
    assert ordering.compute().item() == pytest.approx(0.533333, abs=5e-7)
    assert ordering.difference().item() == 0


@pytest.mark.parametrize("kind", ["zero", "noise"])
def test_curves_image_by_image(kind):
    model, (images, maps, indices) = net(), batch()
    order = pixel_order(maps, indices)
    baseline = baseline_images(images, indices, kind)
    with torch.no_grad():
        classes = model(images).argmax(dim=1)
        curves = ordering_curves(
            model, images, order, classes, baseline, fractions=fractions_of(11), batch_size=7
        )
        for b in range(4):
            ranking = maps[b].abs().flatten().numpy().argsort()[::-1]
            for step in range(11):
                mixed = baseline[b].clone()
                for pixel in ranking[: round(step / 10 * 25)].tolist():
                    mixed[:, pixel // 5, pixel % 5] = images[b][:, pixel // 5, pixel % 5]
                expected = model(mixed[None])[0, classes[b]].item()
                assert curves[b, step].item() == pytest.approx(expected, abs=1e-12)


def test_all_orders_meet_at_both_ends():
    model, (images, maps, indices) = net(), batch()
    with torch.no_grad():
        classes = model(images).argmax(dim=1)
        baseline = baseline_images(images, indices)
        by_map, at_random = (
            ordering_curves(model, images, order, classes, baseline)
            for order in (pixel_order(maps, indices), random_order(indices, 25))
        )
    assert by_map.shape == (4, 101)
    torch.testing.assert_close(by_map[:, [0, -1]], at_random[:, [0, -1]])
    torch.testing.assert_close(by_map[:, -1], model(images).amax(dim=1))
    assert not torch.allclose(by_map, at_random)


def test_an_empty_map_is_the_random_baseline():
    model, (images, maps, indices) = net(), batch()
    with torch.no_grad():
        args = torch.tensor([0, 1, 2, 0]), baseline_images(images, indices)
        empty = ordering_curves(model, images, pixel_order(0 * maps, indices, seed=5), *args)
        at_random = ordering_curves(model, images, random_order(indices, 25, seed=5), *args)
    assert torch.equal(empty, at_random)


def test_the_model_answers_in_batches_of_the_size_that_is_asked_for():
    sizes = []

    def answers(images):
        sizes.append(len(images))
        return images.flatten(1)[:, :2].softmax(dim=1)

    images, maps, indices = batch()
    order = pixel_order(maps, indices)
    classes = torch.zeros(4, dtype=torch.int64)
    whole = ordering_curves(answers, images, order, classes, 0 * images, batch_size=1000)
    pieces = ordering_curves(answers, images, order, classes, 0 * images, batch_size=50)
    assert sizes == [404] + [50] * 8 + [4]
    assert torch.equal(whole, pieces)


def test_adding_what_counts_first_is_better_than_at_random():
    def brightness(images):
        share = images.flatten(1).mean(dim=1)
        return torch.stack([share, 1 - share], dim=1)

    images, _, indices = batch()
    zeros = torch.zeros(4, dtype=torch.int64)
    orders = pixel_order(images.sum(dim=1), indices), random_order(indices, 25)
    curves = [ordering_curves(brightness, images, order, zeros, 0 * images) for order in orders]
    ordering = RelevanceOrdering()
    ordering.update(*curves)
    assert ordering.difference() > 0.05
    assert ordering.compute().item() == pytest.approx(
        ordering.random_area().item() + ordering.difference().item()
    )


def test_areas_by_numpy_and_undefined_curves():
    generator = torch.Generator().manual_seed(2)
    curves, at_random = torch.rand(2, 6, 21, generator=generator)
    curves[1, 3] = torch.nan
    ordering = RelevanceOrdering(21)
    for part in torch.arange(6).split(4):
        ordering.update(curves[part], at_random[part], zero_maps=torch.arange(6)[part] < 3)
    assert ordering.counted() == {"measured": 5, "undefined": 1, "zero_maps": 2}
    rows = [0, 2, 3, 4, 5]
    areas = [trapezoid(row, np.linspace(0, 1, 21)) for row in curves[rows].double().numpy()]
    assert ordering.compute().item() == pytest.approx(np.mean(areas), rel=1e-6)
    assert ordering.deviation().item() == pytest.approx(np.std(areas), rel=1e-4)
    torch.testing.assert_close(ordering.curve(), curves[rows].double().mean(dim=0))
    torch.testing.assert_close(ordering.random_curve(), at_random[rows].double().mean(dim=0))
    assert area(ordering.curve(), ordering.fractions).item() == pytest.approx(ordering.compute().item())
