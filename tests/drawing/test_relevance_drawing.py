"""Signed maps as colours, and the curve of a deletion check."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest

from resemblance.drawing.deletion_curve import deletion_curve
from resemblance.drawing.heat import balanced, overlay, signed_layer


def test_the_scale_of_a_signed_map_is_symmetric():
    relevance = np.array([[0.5, -2.0], [1.0, 0.0]], np.float32)
    np.testing.assert_allclose(balanced(relevance), relevance / 2)
    layer = signed_layer(np.array([[1.0, -1.0, 0.0]], np.float32))[0].astype(int)
    assert layer[0, 2] > layer[0, 0]  # blue speaks for
    assert layer[1, 0] > layer[1, 2]  # red against
    assert layer[2, 0] == layer[2, 1] == layer[2, 2]
    assert layer[0, 3] == layer[1, 3] > layer[2, 3]


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_empty_and_broken_maps_have_no_colours(value):
    broken = np.zeros((3, 3), np.float32)
    broken[1, 1] = value
    assert not balanced(broken).any()
    layer = signed_layer(broken)
    assert (layer == layer[0, 0]).all()


def test_strong_relevance_hides_the_image_and_none_shows_it():
    image = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    none = overlay(image, np.array([[0.0, 0.0]], np.float32), signed=True)
    assert none[0, 1, 0] > none[0, 0, 0] + 60
    painted = overlay(image, np.array([[1.0, -1.0]], np.float32), signed=True)
    assert painted[0, 0, 2] > painted[0, 0, 0]
    assert painted[0, 1, 0] > painted[0, 1, 2]
    np.testing.assert_array_equal(
        painted, overlay(image, np.array([[1.0, -1.0]], np.float32), paper=True, signed=True)
    )


@pytest.mark.parametrize("values", [[2.0, 1.0, 0.5], [-1.0, -3.0, -2.0], [0.0, 0.0, 0.0]])
def test_the_curve_stays_in_its_frame_and_falls_downwards(values):
    curve = deletion_curve([0.0, 0.1, 0.5], values, [values[0]] * 3, [0.0, 0.1, 0.2], "curve")
    points = [
        [tuple(map(float, point.split(","))) for point in found.split()]
        for found in re.findall(r'points="([^"]+)"', curve)
    ]
    assert len(points) == 3
    for x, y in (point for line in points for point in line):
        assert 0 <= x <= 132
        assert 0 <= y <= 64
    heights = [y for _, y in points[2]]
    assert [np.sign(b - a) for a, b in pairwise(heights)] == [np.sign(a - b) for a, b in pairwise(values)]
