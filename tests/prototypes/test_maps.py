"""Upsampling and the papers' boxes, compared with the fact sheet and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from resemblance.prototypes.maps import (
    cell_boxes,
    peak_boxes,
    percentile,
    percentile_box,
    percentile_boxes,
    upsample,
)
from resemblance.prototypes.vectors import VectorPrototypes


def plain_box(heat, percent=95):
    threshold = np.percentile(heat, percent)
    rows, columns = np.nonzero(heat >= threshold)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_the_fact_sheets_values():
    heat = torch.arange(100.0).reshape(10, 10)
    assert percentile(heat.reshape(1, -1)).item() == pytest.approx(94.05)
    assert percentile_box(heat) == (5, 9, 10, 10)
    single = torch.zeros(10, 10)
    single[2, 7] = 1
    assert percentile_box(single) == (0, 0, 10, 10)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 20), st.integers(1, 20), st.integers(0, 1000), st.sampled_from([0, 50, 90, 95, 99.5, 100])
)
def test_boxes_agree_with_numpy(height, width, seed, percent):
    # With few distinct values there are ties with the threshold, which an inexact comparison would get wrong.
    heat = np.random.default_rng(seed).integers(0, 7, (3, height, width)).astype(np.float64)
    boxes = percentile_boxes(torch.from_numpy(heat), percent)
    assert boxes.tolist() == [list(map(int, plain_box(one, percent))) for one in heat]


def test_smooth_maps_agree_with_numpy():
    maps = upsample(torch.rand(20, 7, 7, generator=torch.Generator().manual_seed(0)), (56, 40))
    expected = [list(map(int, plain_box(one.numpy().astype(np.float64)))) for one in maps]
    assert percentile_boxes(maps).tolist() == expected


def test_separate_regions_share_one_box():
    heat = torch.zeros(100, 100)
    heat[10:25, 10:25] = 1
    heat[80:90, 60:90] = 1
    assert percentile_box(heat) == (10, 10, 90, 90)


def test_maps_of_nan_and_empty_maps():
    assert percentile_box(torch.full((4, 6), torch.nan)) == (0, 0, 6, 4)
    assert percentile_boxes(torch.zeros(0, 4, 4)).shape == (0, 4)


def test_upsampling_is_bicubic_whatever_the_leading_shape():
    maps = torch.rand(2, 3, 7, 5)
    expected = F.interpolate(maps, size=(28, 21), mode="bicubic", align_corners=False)
    assert torch.equal(upsample(maps, (28, 21)), expected)
    assert torch.equal(upsample(maps[0, 0], (28, 21)), expected[0, 0])
    assert upsample(maps.bfloat16(), (9, 9)).dtype == torch.float32


@pytest.mark.parametrize(("side", "window"), [(8, 1), (8, 3), (7, 2), (5, 5)])
def test_the_brightest_pixel_lies_in_the_nearest_window(side, window):
    """Maps of windows are stretched over the image, which moves those near the edges outwards."""
    latents = torch.randn(1, 16, side, side, generator=torch.Generator().manual_seed(0))
    for y in range(side - window + 1):
        for x in range(side - window + 1):
            vectors = latents[:, :, y : y + window, x : x + window].clone()
            with torch.no_grad():
                maps = VectorPrototypes(vectors, torch.ones(1, 1)).maps(latents)
            brightest = int(upsample(maps, (8 * side, 8 * side)).argmax())
            row, column = (brightest // (8 * side)) / 8, (brightest % (8 * side)) / 8
            assert y <= row < y + window
            assert x <= column < x + window


def test_cells_cover_the_image():
    boxes = cell_boxes(torch.arange(12), (3, 4), (28, 30))
    covered = torch.zeros(28, 30)
    for x0, y0, x1, y1 in boxes.tolist():
        covered[y0:y1, x0:x1] += 1
    assert (covered > 0).all()


def flooded(heat, percent=95):
    """Find the region around the maximum step by step."""
    bright = heat >= np.percentile(heat, percent)
    start = np.unravel_index(heat.argmax(), heat.shape)
    region, edge = set(), [start]
    while edge:
        y, x = edge.pop()
        inside = 0 <= y < heat.shape[0] and 0 <= x < heat.shape[1]
        if not inside or (y, x) in region or not bright[y, x]:
            continue
        region.add((y, x))
        edge += [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
    rows, columns = zip(*region, strict=True)
    return [min(columns), min(rows), max(columns) + 1, max(rows) + 1]


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 16), st.integers(1, 16), st.integers(0, 1000), st.sampled_from([0, 50, 90, 95, 100]))
def test_the_region_around_the_maximum(height, width, seed, percent):
    heat = np.random.default_rng(seed).integers(0, 7, (3, height, width)).astype(np.float64)
    boxes = peak_boxes(torch.from_numpy(heat), percent)
    assert boxes.tolist() == [list(map(int, flooded(one, percent))) for one in heat]


def test_bright_places_far_apart_have_boxes_of_their_own():
    heat = torch.zeros(1, 100, 100)
    heat[0, 10:25, 10:25] = 1
    heat[0, 80:90, 60:90] = 2
    assert peak_boxes(heat).tolist() == [[60, 80, 90, 90]]
    assert percentile_boxes(heat).tolist() == [[10, 10, 90, 90]]


def test_the_region_of_smooth_maps_has_the_brightest_pixel_and_is_never_larger():
    maps = upsample(torch.rand(50, 7, 7, generator=torch.Generator().manual_seed(1)), (64, 48))
    for heat, region, box in zip(maps, peak_boxes(maps), percentile_boxes(maps), strict=True):
        y, x = divmod(int(heat.argmax()), 48)
        assert region[0] <= x < region[2]
        assert region[1] <= y < region[3]
        assert bool((region[:2] >= box[:2]).all() and (region[2:] <= box[2:]).all())


def test_regions_of_maps_of_nan_and_of_empty_maps():
    assert peak_boxes(torch.full((1, 4, 6), torch.nan)).tolist() == [[0, 0, 6, 4]]
    assert peak_boxes(torch.zeros(0, 4, 4)).shape == (0, 4)
