"""Distinctiveness, comprehensiveness, pointing game and relevance mass against plain loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from metrics.since.made_regions import SIZE, generator, random_maps, random_masks, random_points, rows
from resemblance.data.regions.regions import Regions
from resemblance.metrics.since.comprehensiveness import Comprehensiveness
from resemblance.metrics.since.distinctiveness import Distinctiveness, separation
from resemblance.metrics.since.hits import box_iou
from resemblance.metrics.since.pointing_game import PointingGame, pointing_hits
from resemblance.metrics.since.relevance_mass import RelevanceMass
from resemblance.metrics.since.trivial_baselines import shifted_iou


def enlarged(map, size):
    return F.interpolate(map[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]


def test_boxes_36_pixels_apart():
    """The fact sheet's value: two boxes of 72 pixels, 36 apart, have an IoU of 1/3."""
    first = torch.tensor([40, 40, 112, 112])
    for shift in (torch.tensor([36, 0, 36, 0]), torch.tensor([0, -36, 0, -36])):
        assert box_iou(first, first + shift).item() == pytest.approx(1 / 3, abs=1e-15)
    assert separation(torch.stack([first, first + 36 * torch.tensor([1, 0, 1, 0])])).item() == pytest.approx(
        2 / 3
    )


def plain_box(map, size, clip=True):
    y, x = (
        divmod(int(enlarged(map, size).flatten().argmax()), size[1]) if map.unique().numel() > 1 else (0, 0)
    )
    half_x, half_y = round(36 * size[1] / 224), round(36 * size[0] / 224)
    box = [x - half_x, y - half_y, x + half_x, y + half_y]
    return [max(box[0], 0), max(box[1], 0), min(box[2], size[1]), min(box[3], size[0])] if clip else box


def plain_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


@pytest.mark.parametrize("definition", ["default", "released"])
def test_distinctiveness_is_the_plain_loop(definition):
    maps = random_maps(12, 4, grid=(8, 8))
    maps[3, 1] = 0.5
    maps[4, :3] = 0.0
    which = torch.arange(4).repeat(12, 1)
    which[5, 3] = -1
    values = []
    for image in range(12):
        boxes = []
        for column in range(4):
            map, flat = maps[image, column], maps[image, column].unique().numel() == 1
            if which[image, column] < 0 or (flat and definition == "default"):
                continue
            if definition == "released":
                map = map.reshape(4, 2, 4, 2).mean(dim=(1, 3))
            boxes.append(plain_box(map, SIZE, clip=definition == "default"))
        overlaps = [plain_iou(a, b) for a, b in itertools.combinations(boxes, 2)]
        if overlaps:
            values.append(1 - np.mean(overlaps))
    metric = Distinctiveness(SIZE, definition=definition)
    for chosen in (slice(0, 5), slice(5, None)):
        metric.update(maps[chosen], which[chosen])
    summary = metric.summary()
    assert summary.value == pytest.approx(np.mean(values), abs=1e-12)
    assert summary.counts["maps without a maximum"] == 4
    assert summary.counts["images with fewer than two maps"] == (definition == "default")
    assert summary.interval.low < summary.value < summary.interval.high


def test_baselines_of_distinctiveness():
    maps = random_maps(20, 4, seed=3)
    metric = Distinctiveness((224, 224))
    metric.update(maps, torch.arange(4).repeat(20, 1))
    baselines = metric.summary().baselines
    # Maxima of independent noise are random places, and fixed places in four quarters do not overlap at all.
    assert baselines["same place"] == 0.0
    assert baselines["fixed places apart"] == 1.0
    assert abs(baselines["random place"] - metric.compute().item()) < 0.05


@pytest.mark.parametrize("level", [None, 0.8])
def test_comprehensiveness_is_the_plain_loop(level):
    maps, masks = random_maps(10, 3, seed=1), random_masks(10)
    maps[2, 0] = 0.9
    maps[3] = 0.0
    masks[4] = False
    which = torch.arange(3).repeat(10, 1)
    which[6, 1] = -1
    values = []
    for image in range(10):
        union = torch.zeros(SIZE, dtype=torch.bool)
        kept = 0
        for column in range(3):
            map = maps[image, column]
            if which[image, column] < 0 or map.unique().numel() == 1:
                continue
            large = enlarged(map, SIZE)
            scaled = (large - large.min()) / (large.max() - large.min())
            union |= scaled > 0.6 if level is None else large > level
            kept += 1
        if kept and masks[image].any():
            values.append(((union & masks[image]).sum() / (union | masks[image]).sum()).item())
    metric = Comprehensiveness(SIZE, level=level)
    for chosen in (slice(0, 5), slice(5, None)):
        metric.update(maps[chosen], which[chosen], Regions(SIZE, masks=masks[chosen]))
    summary = metric.summary()
    assert summary.value == pytest.approx(np.mean(values), abs=1e-6)
    assert summary.counts == {
        "images": 10,
        "images left out": 2,
        "images without a mask": 1,
        "maps without a maximum": 4,
    }
    kept = torch.tensor([0, 1, 2, 5, 6, 7, 8, 9])
    assert summary.baselines["whole image"] == pytest.approx(masks[kept].double().mean().item())


def test_shifts_are_all_shifts():
    marked = torch.rand(2, 5, 4, generator=generator(0)) < 0.4
    regions = torch.rand(2, 5, 4, generator=generator(1)) < 0.5
    shifts = [
        (rolled & regions).sum(dim=(1, 2)).double() / (rolled | regions).sum(dim=(1, 2))
        for rolled in (marked.roll((y, x), dims=(1, 2)) for y in range(5) for x in range(4))
    ]
    torch.testing.assert_close(shifted_iou(marked, regions), torch.stack(shifts).mean(dim=0))


def plain_inside(regions, tolerance):
    """The pixels near a region of each image, pixel by pixel."""
    height, width = regions.size
    inside = np.zeros((len(regions), height, width), dtype=bool)
    for image in range(len(regions)):
        for column in regions.shown[image].nonzero().flatten().tolist():
            if regions.kind == "masks":
                ys, xs = regions.masks[image].numpy().nonzero()
                corners = [(x + 0.5, y + 0.5, x + 0.5, y + 0.5) for x, y in zip(xs, ys, strict=True)]
            elif regions.kind == "boxes":
                corners = [regions.boxes[image, column].tolist()]
            else:
                corners = [(*regions.points[image, column].tolist(),) * 2]
            y, x = np.mgrid[:height, :width] + 0.5
            for x0, y0, x1, y1 in corners:
                dx, dy = np.maximum(0, np.maximum(x0 - x, x - x1)), np.maximum(0, np.maximum(y0 - y, y - y1))
                inside[image] |= dx**2 + dy**2 <= tolerance**2
    return torch.from_numpy(inside)


def regions_of(kind, images=8, size=(20, 24)):
    points = random_points(images, 2, size=size, shown=0.7)
    if kind == "points":
        return points
    if kind == "boxes":
        sides = 1 + 6 * torch.rand(images, 2, 2, generator=generator(4), dtype=torch.float64)
        return Regions(
            size, boxes=torch.cat([points.points, points.points + sides], dim=-1), visible=points.visible
        )
    masks = torch.rand(images, *size, generator=generator(5)) < 0.02
    masks[0] = False
    return Regions(size, masks=masks)


@pytest.mark.parametrize("kind", ["masks", "boxes", "points"])
@pytest.mark.parametrize("tolerance", [0.0, 2.7])
def test_regions_as_masks_pixel_by_pixel(kind, tolerance):
    regions = regions_of(kind)
    expected = plain_inside(regions, tolerance)
    assert torch.equal(regions.as_masks(tolerance), expected)
    assert kind == "points" or expected.any()


@pytest.mark.parametrize("kind", ["masks", "boxes", "points"])
def test_pointing_game_and_relevance_mass_are_plain_loops(kind):
    regions = regions_of(kind)
    size, tolerance = regions.size, 2.0
    maps = torch.randn(8, 3, *size, generator=generator(6), dtype=torch.float64)
    maps[1, 0] = 0.0
    maps[2] = -1.0
    maps[3, 1, 4:6, 7] = 9.0  # two equal maxima
    inside = plain_inside(regions, tolerance)
    hits, masses, game_images, mass_images = [], [], [], []
    for image in range(8):
        if not inside[image].any():
            continue
        hit, mass = [], []
        for map in maps[image]:
            if map.unique().numel() > 1:
                hit.append(inside[image][map == map.max()].double().mean().item())
            if (positive := map.clamp_min(0)).sum() > 0:
                mass.append((positive[inside[image]].sum() / positive.sum()).item())
        if hit:
            hits.append(np.mean(hit))
            game_images.append(image)
        if mass:
            masses.append(np.mean(mass))
            mass_images.append(image)
    pixels = tolerance * 224 / 20
    for metric, values, images, chance in (
        (PointingGame(size, tolerance=pixels), hits, game_images, "random place"),
        (RelevanceMass(size, tolerance=pixels), masses, mass_images, "area of the region"),
    ):
        for chosen in (slice(0, 3), slice(3, None)):
            metric.update(maps[chosen], rows(regions, chosen))
        summary = metric.summary()
        assert summary.value == pytest.approx(np.mean(values), abs=1e-12)
        covered = inside[images].double()
        assert summary.baselines["best constant place"] == covered.mean(dim=0).max().item()
        assert summary.baselines["centre"] == covered[:, 10, 12].mean().item()
        area = summary.baselines[chance]
        assert area == pytest.approx(covered.mean().item())
        assert summary.counts["images without a visible region"] == 8 - int(
            inside.flatten(1).any(dim=1).sum()
        )


def test_a_map_that_knows_nothing_scores_chance():
    masks = random_masks(200, seed=7, size=(16, 16))
    regions = Regions((16, 16), masks=masks)
    mass, game = RelevanceMass((16, 16)), PointingGame((16, 16))
    mass.update(torch.ones(200, 16, 16), regions)
    game.update(torch.rand(200, 16, 16, generator=generator(8)), regions)
    assert mass.compute().item() == pytest.approx(mass.summary().baselines["area of the region"])
    assert mass.summary().variants["mean gain over the area"] == pytest.approx(1)
    low, high = game.summary().interval
    assert low < game.summary().baselines["random place"] < high


def test_maps_that_are_not_finite_are_left_out():
    maps = torch.rand(2, 1, 4, 4)
    maps[0, 0, 1, 1] = torch.nan
    masks = torch.ones(2, 4, 4, dtype=torch.bool)
    assert pointing_hits(maps, masks).isnan().tolist() == [[True], [False]]
    metric = RelevanceMass((4, 4))
    metric.update(maps, Regions((4, 4), masks=masks))
    assert metric.compute().item() == 1.0
    assert metric.summary().counts["images left out"] == 1


def test_states_of_two_processes_merge():
    regions = regions_of("boxes")
    maps = torch.rand(8, 2, *regions.size, generator=generator(9))
    for kind in (PointingGame, RelevanceMass):
        whole, first, second = kind(regions.size), kind(regions.size), kind(regions.size)
        whole.update(maps, regions)
        first.update(maps[:5], rows(regions, slice(0, 5)))
        second.update(maps[5:], rows(regions, slice(5, None)))
        first.merge_state(second)
        assert first.summary().value == pytest.approx(whole.summary().value)
        assert first.summary().baselines == pytest.approx(whole.summary().baselines)
        assert first.summary().counts == whole.summary().counts


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_without_images_everything_is_nan():
    for metric in (PointingGame(SIZE), RelevanceMass(SIZE), Comprehensiveness(SIZE), Distinctiveness(SIZE)):
        summary = metric.summary()
        assert math.isnan(metric.compute().item())
        assert math.isnan(summary.value)
        assert summary.counts["images"] == 0
