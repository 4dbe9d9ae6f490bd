from __future__ import annotations

import math

import torch

from resemblance.metrics.since.bootstrap import Interval, bootstrap_interval, mean_interval
from resemblance.metrics.since.summary import Summary


def test_the_interval_of_a_mean_has_the_width_of_theory():
    values = torch.randn(400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    low, high = mean_interval(values)
    width = 2 * 1.96 * values.std().item() / 20
    assert low < values.mean() < high
    assert abs((high - low) / width - 1) < 0.1


def test_the_same_seed_gives_the_same_interval():
    values = torch.rand(50, generator=torch.Generator().manual_seed(1))
    assert mean_interval(values, seed=3) == mean_interval(values, seed=3) != mean_interval(values, seed=4)


def test_missing_values_are_left_out():
    values = torch.tensor([1.0, torch.nan, 1.0, torch.nan])
    assert mean_interval(values) == Interval(1.0, 1.0)
    assert all(math.isnan(end) for end in mean_interval(torch.tensor([2.0, torch.nan])))
    assert all(math.isnan(end) for end in bootstrap_interval(lambda weights: math.nan, 5))


def test_images_are_drawn_within_their_groups():
    groups = torch.tensor([3, 1, 3, 1, 1, 7])
    drawn = []
    bootstrap_interval(lambda weights: drawn.append(weights) or 0.0, 6, groups=groups, draws=200)
    weights = torch.stack(drawn)
    for group, size in ((3, 2), (1, 3), (7, 1)):
        assert (weights[:, groups == group].sum(dim=1) == size).all()
    assert (weights[:, :5].mean(dim=0) - 1).abs().max() < 0.2  # each member is as likely


def test_a_summary_has_no_nan_in_json():
    summary = Summary(
        "x", math.nan, Interval(math.nan, 1.0), True, {"random": math.nan}, intervals={"y": Interval(0, 1)}
    )
    assert summary.to_dict()["value"] is None
    assert summary.to_dict()["interval"] == [None, 1.0]
    assert summary.to_dict()["baselines"] == {"random": None}
    assert summary.to_dict()["intervals"] == {"y": [0, 1]}
