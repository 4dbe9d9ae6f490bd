from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resemblance.metrics import radar_values

WORST = {
    "accuracy": 0.0,
    "average increase": 0.0,
    "average drop": 1.0,
    "ghosting": 1.0,
    "diversity": 1.0,
    "explanation divergence": math.inf,
}


def test_axes_of_kmex_on_mnist():
    measured = {
        "accuracy": 0.994,
        "average drop": 0.121,
        "average increase": 0.638,
        "ghosting": 0.0,
        "explanation divergence": 0.086,
        "diversity": 0.453,
        "relevance ordering": 0.8,  # is no axis
    }
    assert radar_values(measured) == pytest.approx(
        {
            "accuracy": 0.994,
            "average drop": 0.879,
            "average increase": 0.638,
            "ghosting": 1.0,
            "explanation divergence": 1 / 1.086,
            "diversity": 0.547,
        }
    )


def test_missing_axes_are_left_out():
    flint = {
        "accuracy": 0.99,
        "ghosting": 0.16,
        "diversity": 0.941,
        "average drop": None,
        "explanation divergence": math.nan,
    }
    assert list(radar_values(flint)) == ["accuracy", "ghosting", "diversity"]
    assert radar_values({}) == {}


@given(st.sampled_from(sorted(WORST)), st.floats(0, 1), st.floats(0, 1))
def test_larger_is_better_and_within_zero_and_one(name, one, other):
    axis = [radar_values({name: value})[name] for value in (one, other)]
    nearer = abs(one - WORST[name]) < abs(other - WORST[name]) if WORST[name] < math.inf else one > other
    assert all(0 <= value <= 1 for value in axis)
    if nearer:
        assert axis[0] <= axis[1]
    assert radar_values({name: WORST[name]})[name] == 0
