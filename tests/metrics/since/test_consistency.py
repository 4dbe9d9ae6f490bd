"""Consistency and stability against plain loops, the values of the fact sheet, and CUB's annotations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from metrics.since.made_regions import SIZE, random_maps, random_points, rows
from resemblance.data.regions.cub_parts import read_cub
from resemblance.data.regions.regions import Regions
from resemblance.metrics.since.consistency import Consistency, consistent, part_shares
from resemblance.metrics.since.stability import Stability
from resemblance.metrics.suite.measurement import merge_into, state_of


def plain_hits(map, points, visible, parts, count, size, half=36):
    """The parts in the box about the first maximum of one map."""
    large = F.interpolate(map[None, None].float(), size=size, mode="bicubic", align_corners=False)[0, 0]
    top = large >= large.max() - 1e-5 * (large.max() - large.min())
    y, x = divmod(int(top.flatten().nonzero()[0]), size[1])
    half_x, half_y = round(half * size[1] / 224), round(half * size[0] / 224)
    hits = [False] * count
    for (px, py), seen, part in zip(points.tolist(), visible.tolist(), parts.tolist(), strict=True):
        inside_x = max(0, x - half_x) <= int(px) <= min(size[1], x + half_x)
        inside_y = max(0, y - half_y) <= int(py) <= min(size[0], y + half_y)
        hits[part] |= seen and inside_x and inside_y
    return hits


def plain_consistency(maps, which, regions, prototypes, least_visible=0):
    parts, count = regions.part_of, regions.num_parts
    passed = []
    for prototype in range(prototypes):
        hits, seen = np.zeros(count), np.zeros(count)
        for image, column in (which == prototype).nonzero().tolist():
            shown = [False] * count
            for part, visible in zip(parts.tolist(), regions.shown[image].tolist(), strict=True):
                shown[part] |= visible
            points, visible = regions.points[image], regions.shown[image]
            hit = plain_hits(maps[image, column], points, visible, parts, count, regions.size)
            hits += np.array(hit) & np.array(shown)
            seen += shown
        if not (which == prototype).any() or (least_visible and not (seen >= least_visible).any()):
            continue
        shares = [h / s for h, s in zip(hits, seen, strict=True) if s > 0 and s >= least_visible]
        passed.append(max(shares, default=0.0) >= 0.8)
    return 100 * float(np.mean(passed))


def test_the_value_of_the_fact_sheet():
    """Part 1 hit in 4 of 5 visible, part 2 visible once and hit: (0.8, 1.0)."""
    hits = torch.tensor([[1, 1], [1, 0], [1, 0], [1, 0], [0, 0]]).bool()[:, None]
    visible = torch.tensor([[1, 1], [1, 0], [1, 0], [1, 0], [1, 0]]).bool()
    counted, seen = part_shares(hits, visible, torch.zeros(5, 1, dtype=torch.int64), 1)
    assert (counted / seen).tolist() == [[0.8, 1.0]]
    assert consistent(counted, seen).tolist() == [1.0]
    assert consistent(counted[:, :1], seen[:, :1]).tolist() == [1.0]  # 0.8 is enough
    assert consistent(counted - 1, seen).tolist() == [0.0]
    assert consistent(torch.zeros(1, 2), torch.zeros(1, 2)).tolist() == [0.0]  # visible in no image
    assert consistent(counted, seen, least_visible=6).isnan().all()


def case(seed, images=60, prototypes=6, columns=3):
    maps = random_maps(images, columns, seed=seed)
    labels = torch.arange(images) % 2
    which = labels[:, None] * columns + torch.arange(columns)
    which[5, 2] = -1
    which[:, 0] = torch.where(which[:, 0] == 3, 0, which[:, 0])  # prototype 0 is shared, 3 has no images
    maps[labels == 0, 1, 2, 4] += 1.0  # a prototype that always marks one place
    regions = random_points(images, 5, seed, parts=torch.tensor([0, 1, 1, 2, 3]))
    regions.points[:, 0] = torch.tensor([45.0, 20.0])
    return maps, which, labels, regions, prototypes


@pytest.mark.parametrize("seed", range(3))
def test_consistency_is_the_plain_loop(seed):
    maps, which, labels, regions, prototypes = case(seed)
    metric = Consistency(prototypes, SIZE, least_visible=18, seed=seed)
    metric.update(maps, which, labels, regions)
    summary = metric.summary()
    assert metric.compute().item() == summary.value == plain_consistency(maps, which, regions, prototypes)
    assert 0 < summary.value < 100
    variant = summary.variants["parts visible in at least 18 images"]
    assert variant == plain_consistency(maps, which, regions, prototypes, least_visible=18)
    assert summary.counts["prototypes"] == 5
    assert summary.counts["prototypes without images"] == 1
    assert summary.interval.low <= summary.value <= summary.interval.high


def test_the_best_constant_place_is_that_of_all_places():
    maps, which, labels, regions, prototypes = case(0)
    metric = Consistency(prototypes, SIZE)
    metric.update(maps, which, labels, regions)
    summary = metric.summary()
    scores = {}
    for cell in range(49):
        constant = torch.zeros(len(labels), 1, 7, 7)
        constant[:, :, cell // 7, cell % 7] = 1.0
        scores[cell] = plain_consistency(constant, labels[:, None], regions, 2)
    # Two prototypes of class 0 and the shared one, two of class 1 and the shared one: both classes weigh the same.
    best = (
        summary.counts["row of the best constant place"] * 7
        + summary.counts["column of the best constant place"]
    )
    assert summary.baselines["best constant place"] == scores[best] == max(scores.values())


def test_batches_do_not_matter():
    maps, which, labels, regions, prototypes = case(1)
    whole, parts, other = (Consistency(prototypes, SIZE) for _ in range(3))
    whole.update(maps, which, labels, regions)
    for chosen in (slice(0, 7), slice(7, 30)):
        parts.update(maps[chosen], which[chosen], labels[chosen], rows(regions, chosen))
    other.update(maps[30:], which[30:], labels[30:], rows(regions, slice(30, None)))
    parts.merge_state(other)  # as of another process
    assert parts.summary() == whole.summary()


def test_the_state_is_all_that_another_process_needs():
    maps, which, labels, regions, prototypes = case(1)
    metric, saved, empty = (Consistency(prototypes, SIZE) for _ in range(3))
    metric.update(maps, which, labels, regions)
    merge_into(saved, state_of(metric))
    empty.merge_state(metric)
    assert saved.summary() == empty.summary() == metric.summary()


def test_maps_without_a_maximum_hit_nothing():
    regions = Regions((224, 224), points=torch.full((3, 1, 2), 10.0))
    zeros, which = torch.zeros(3, 1, 7, 7), torch.zeros(3, 1, dtype=torch.int64)
    values = {}
    for definition in ("default", "released"):
        metric = Consistency(1, (224, 224), definition=definition)
        metric.update(zeros, which, which[:, 0], regions)
        values[definition] = metric.compute().item()
        assert metric.summary().counts["maps without a maximum"] == 3
    assert values == {"default": 0.0, "released": 100.0}  # the first pixel, whose box holds the point


def test_boxes_count_by_their_centres():
    boxes = torch.tensor([[[100.0, 90.0, 130.0, 140.0], [0.0, 0.0, 2.0, 2.0]]] * 2)
    visible = torch.tensor([[True, True], [True, False]])
    heads = Regions((224, 224), boxes=boxes, visible=visible, parts=torch.tensor([0, 0]), names=("head",))
    maps = torch.zeros(2, 1, 7, 7)
    maps[:, :, 3, 3] = 1.0
    metric = Consistency(1, (224, 224))
    metric.update(maps, torch.zeros(2, 1).long(), torch.zeros(2).long(), heads)
    assert metric.compute().item() == 100.0


def test_usage_weighs_prototypes():
    maps, which, labels, regions, prototypes = case(0)
    usage = torch.tensor([1.0, 5.0, 0.0, 0.0, 2.0, 1.0])
    metric = Consistency(prototypes, SIZE, usage=usage)
    metric.update(maps, which, labels, regions)
    singles = []
    for prototype in range(prototypes):
        alone = torch.where(which == prototype, which, -1)
        singles.append(plain_consistency(maps, alone, regions, prototypes) if (alone >= 0).any() else 0.0)
    expected = (usage.numpy() * singles).sum() / usage[[0, 1, 2, 4, 5]].sum().item()
    assert metric.summary().variants["weighted by usage"] == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_nothing_is_nan():
    for metric in (Consistency(2, SIZE), Stability(2, SIZE)):
        assert math.isnan(metric.compute().item())
        assert math.isnan(metric.summary().value)


def test_trivial_baselines_on_cub(real_data):
    """The fact sheet's figures: cells in rows and columns from 1, test images cropped to the birds."""
    annotations = read_cub(real_data("cub200-2011-annotations") / "CUB_200_2011_annotations.zip")
    test = annotations.test
    points = torch.from_numpy(annotations.cropped_points((224, 224))[test])
    regions = Regions((224, 224), points=points, visible=torch.from_numpy(annotations.visible[test]))
    labels = torch.from_numpy(annotations.labels[test])
    metric = Consistency(200, (224, 224))
    gathered = regions, labels[:, None], labels
    scores, _ = metric._constant_places(*gathered)
    scores = scores.reshape(7, 7)
    assert (len(labels), int(scores.argmax())) == (5794, 7 * (2 - 1) + (4 - 1))
    assert scores[1, 3] == 61.5
    assert scores[2, 3] == 55.0
    assert scores[3, 3] == 18.5
    assert round(scores.mean().item(), 1) == 8.2
    assert (
        0.1 < metric._random_places(*gathered) < 0.8
    )  # 0.25 in the fact sheet, a multiple of 0.5 in each draw
    seen = torch.zeros(200, 15).index_add(0, labels, regions.shown.float())
    assert ((seen > 0) & (seen < 10)).sum() == 114
    counts = labels.bincount()
    assert (counts.min(), counts.max()) == (11, 30)
    assert round(100 * (2 * 36 / 224) ** 2, 1) == 10.3  # per cent; with both borders, of 73 pixels, 10.6
    assert round(100 * (73 / 224) ** 2, 1) == 10.6


def plain_stability(before, after, which, regions, prototypes, empty=True):
    shares = []
    for prototype in range(prototypes):
        same = []
        for image, column in (which == prototype).nonzero().tolist():
            options = (
                regions.points[image],
                regions.shown[image],
                regions.part_of,
                regions.num_parts,
                regions.size,
            )
            hits = [plain_hits(maps[image, column], *options) for maps in (before, after)]
            if empty or any(hits[0]) or any(hits[1]):
                same.append(hits[0] == hits[1])
        if same:
            shares.append(np.mean(same))
    return 100 * float(np.mean(shares))


@pytest.mark.parametrize("seed", range(3))
def test_stability_is_the_plain_loop(seed):
    maps, which, labels, regions, prototypes = case(seed)
    after = maps + 0.2 * random_maps(*maps.shape[:2], seed=seed + 10)
    metric = Stability(prototypes, SIZE)
    for chosen in (slice(0, 11), slice(11, None)):
        metric.update(maps[chosen], after[chosen], which[chosen], labels[chosen], rows(regions, chosen))
    summary = metric.summary()
    assert summary.value == pytest.approx(plain_stability(maps, after, which, regions, prototypes), abs=1e-9)
    expected = plain_stability(maps, after, which, regions, prototypes, empty=False)
    assert summary.variants["pairs that hit a part"] == pytest.approx(expected, abs=1e-9)
    assert summary.baselines["random place"] < summary.value < 100
    assert summary.interval.low <= summary.value <= summary.interval.high


def test_a_prototype_of_the_background_and_a_constant_place_are_stable():
    regions = Regions((224, 224), points=torch.full((4, 1, 2), 112.0))
    corner, moved, centre = (torch.zeros(4, 1, 7, 7) for _ in range(3))
    corner[..., 0, 0], moved[..., 6, 6], centre[..., 3, 3] = 1.0, 1.0, 1.0
    for before, after in ((corner, moved), (centre, centre)):
        metric = Stability(1, (224, 224))
        metric.update(before, after, torch.zeros(4, 1).long(), torch.zeros(4).long(), regions)
        assert metric.compute().item() == 100.0 == metric.summary().baselines["best constant place"]
    metric.reset()
    metric.update(corner, moved, torch.zeros(4, 1).long(), torch.zeros(4).long(), regions)
    assert math.isnan(metric.summary().variants["pairs that hit a part"])
    assert metric.summary().counts["pairs that hit nothing"] == 4
