"""Purity against plain loops; patches as the paper and as the released code lay them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metrics.since.made_regions import SIZE, generator, random_points, rows
from resemblance.data.regions.regions import Regions
from resemblance.metrics.since.hits import Hits
from resemblance.metrics.since.patches import cell_patches, cut_to
from resemblance.metrics.since.purity import Purity, best_rows, purity
from resemblance.metrics.suite.measurement import merge_into, state_of

SIDES = torch.tensor([0, 1, 1, 2, 3])  # the second and the third point are the left and the right of one part


def test_the_value_of_the_fact_sheet():
    """Part 1 hit (1, 1, 0, 1), part 2 visible once and hit: 1.0, not 0.75."""
    hits = torch.tensor([[1, 0], [1, 0], [0, 1], [1, 0]]).bool()
    visible = torch.tensor([[1, 0], [1, 0], [1, 1], [1, 0]]).bool()
    which = torch.zeros(4, dtype=torch.int64)
    assert purity(Hits(hits, visible), which, 1).tolist() == [1.0]
    assert purity(Hits(hits, visible), which, 1, least_visible=2).tolist() == [0.75]
    assert purity(Hits(hits, visible), which, 1, least_visible=5).isnan().all()


def case(seed, images=40, prototypes=4):
    similarities = torch.rand(images, prototypes, generator=generator(seed), dtype=torch.float64)
    similarities = (similarities * 20).round() / 20  # with ties
    cells = torch.randint(49, (images, prototypes), generator=generator(seed + 1))
    regions = random_points(images, 5, seed, parts=SIDES)
    return similarities, cell_patches(cells, (7, 7), SIZE, side=64), regions


def plain_purity(similarities, boxes, regions, count=10, least_similarity=None, side=64, released=False):
    values = []
    for prototype in range(similarities.shape[1]):
        column = similarities[:, prototype].tolist()
        order = sorted(range(len(column)), key=lambda image: (-column[image], image))
        chosen = (
            order[:count] if least_similarity is None else [i for i in order if column[i] > least_similarity]
        )
        seen, hit = np.zeros(4), np.zeros(4)
        for image in chosen:
            x0, y0, x1, y1 = boxes[image, prototype].tolist()
            for part in range(4):
                points = [
                    (x, y)
                    for (x, y), shown, of in zip(
                        regions.points[image].tolist(),
                        regions.shown[image].tolist(),
                        SIDES.tolist(),
                        strict=True,
                    )
                    if shown and of == part
                ]
                seen[part] += bool(points)
                hit[part] += any(x0 <= int(x) <= x1 and y0 <= int(y) <= y1 for x, y in points)
        if seen.any():
            values.append((hit[seen > 0] / seen[seen > 0]).max())
        elif chosen and released:
            values.append(0.0)
    return float(np.mean(values)), float(np.std(values)), sum(value > 0.5 for value in values)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("least_similarity", [None, 0.7])
def test_purity_is_the_plain_loop_in_any_order(seed, least_similarity):
    similarities, boxes, regions = case(seed)
    expected = plain_purity(similarities, boxes, regions, least_similarity=least_similarity)
    order = torch.randperm(40, generator=generator(seed))
    metric = Purity(4, SIZE, side=64, least_similarity=least_similarity)
    for chosen in (order[:3], order[3:19], order[15:]):  # some images come twice
        metric.update(similarities[chosen], boxes[chosen], rows(regions, chosen), chosen)
    summary = metric.summary()
    found = (
        summary.value,
        summary.variants["standard deviation over prototypes"],
        summary.counts["prototypes above 0.5"],
    )
    assert found == pytest.approx(expected, abs=1e-12)
    assert summary.interval.low <= summary.interval.high
    whole = Purity(4, SIZE, side=64, least_similarity=least_similarity)
    whole.update(similarities, boxes, regions, torch.arange(40))
    assert whole.summary() == summary
    halves = [Purity(4, SIZE, side=64, least_similarity=least_similarity) for _ in range(2)]
    for half, chosen in zip(halves, (slice(0, 20), slice(20, None)), strict=True):
        half.update(similarities[chosen], boxes[chosen], rows(regions, chosen), torch.arange(40)[chosen])
    halves[0].merge_state(halves[1])  # as of another process
    assert halves[0].summary() == summary
    restored = Purity(4, SIZE, side=64, least_similarity=least_similarity)
    merge_into(restored, state_of(halves[0]))
    assert restored.summary() == summary


def test_the_state_holds_the_best_patches_only():
    similarities, boxes, regions = case(0)
    metric = Purity(4, SIZE, best=3)
    for start in range(0, 40, 8):
        chosen = slice(start, start + 8)
        metric.update(similarities[chosen], boxes[chosen], rows(regions, chosen), torch.arange(40)[chosen])
        assert sum(len(part) for part in metric.patches) == 12


def test_of_equal_values_the_first_images_are_kept():
    which = torch.tensor([0, 0, 0, 0, 1])
    values, images = torch.tensor([1.0, 2.0, 1.0, 2.0, 1.0]), torch.tensor([4, 9, 2, 9, 4])
    assert best_rows(which, values, images, 2).tolist() == [1, 2, 4]


def test_irrelevant_prototypes_do_not_count():
    similarities, boxes, regions = case(1)
    relevant = torch.tensor([True, False, True, False])
    metric = Purity(4, SIZE, side=64, relevant=relevant)
    metric.update(similarities, boxes, regions, torch.arange(40))
    expected = plain_purity(similarities[:, relevant], boxes[:, relevant], regions)[0]
    assert metric.compute().item() == pytest.approx(expected)
    assert metric.summary().counts["irrelevant prototypes"] == 2


def test_prototypes_without_a_visible_part():
    similarities, boxes, regions = case(2)
    hidden = Regions(SIZE, points=regions.points, visible=torch.zeros_like(regions.shown), parts=SIDES)
    values = {}
    for definition in ("default", "released"):
        metric = Purity(4, SIZE, definition=definition)
        metric.update(similarities, boxes, hidden, torch.arange(40))
        values[definition] = metric.compute().item()
    assert np.isnan(values["default"])
    assert values["released"] == 0
    assert metric.summary().counts["prototypes without a visible part"] == 0


def test_chance_is_that_of_random_patches():
    """A part at a place drawn uniformly is hit in proportion to the patch's area."""
    images = 400
    points = torch.rand(images, 1, 2, generator=generator(5), dtype=torch.float64) * 224
    metric = Purity(1, (224, 224), best=images, side=56)
    boxes = torch.tensor([0.0, 0.0, 56.0, 56.0]).expand(images, 1, 4)
    metric.update(torch.ones(images, 1), boxes, Regions((224, 224), points=points), torch.arange(images))
    assert metric.summary().baselines["same patches at random places"] == pytest.approx(1 / 16, abs=0.015)


def test_patches_are_spread_evenly():
    x0 = cell_patches(torch.arange(7), (7, 7), (224, 224))[:, 0]
    assert x0.tolist() == [32.0 * cell for cell in range(7)]
    odd = cell_patches(torch.arange(28), (28, 28), (224, 224))
    assert odd[:, 0].tolist() == pytest.approx([192 / 27 * cell for cell in range(28)])
    assert (odd[:, 2] - odd[:, 0]).tolist() == pytest.approx([32] * 28)
    assert cell_patches(torch.tensor([0]), (1, 1), (224, 224)).tolist() == [[96.0, 96.0, 128.0, 128.0]]


def test_released_patches_round_the_step():
    """round(192 / 27) = 7, and a grid of 26 begins at 0, 4, 12, 20 and so on."""
    x0 = cell_patches(torch.arange(28), (28, 28), (224, 224), definition="released")[:, 0]
    assert x0.tolist() == [*(7.0 * cell for cell in range(27)), 192.0]
    x0 = cell_patches(torch.arange(26), (26, 26), (224, 224), definition="released")[:, 0]
    assert x0.tolist() == [0.0, *(8.0 * cell - 4 for cell in range(1, 25)), 192.0]


def test_larger_boxes_are_cut_about_their_centres():
    boxes = torch.tensor([[10.0, 20.0, 50.0, 24.0], [0.0, 0.0, 8.0, 8.0]])
    assert cut_to(boxes, (32, 32)).tolist() == [[14.0, 20.0, 46.0, 24.0], [0.0, 0.0, 8.0, 8.0]]
