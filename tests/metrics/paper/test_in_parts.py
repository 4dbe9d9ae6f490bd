"""No result depends on batches or processes."""

from __future__ import annotations

import pytest
import torch
from torch.multiprocessing import spawn
from torch.testing import assert_close

from measuring import results, scenes, work
from resemblance import metrics
from resemblance.metrics import Measure

SCENES = scenes()


def whole(name):
    make, batches = SCENES[name]
    metric = make()
    for batch in batches:
        metric.update(*batch)
    return metric


def same(one, other):
    assert one.keys() == other.keys()
    for key in one:
        assert_close(one[key], other[key], equal_nan=True, msg=lambda text, key=key: f"{key}: {text}")


def test_every_measure_is_tested():
    exported = [getattr(metrics, name) for name in metrics.__all__]
    paper = {
        c for c in exported if isinstance(c, type) and issubclass(c, Measure) and ".paper." in c.__module__
    }
    assert paper == {type(make()) for make, _ in SCENES.values()}
    assert all(isinstance(c.higher_is_better, bool) and not c.full_state_update for c in paper)


@pytest.mark.parametrize("name", SCENES)
def test_two_halves_are_the_whole(name):
    make, batches = SCENES[name]
    first, second = make(), make()
    for half, part in ((first, batches[:2]), (second, batches[2:])):
        for batch in part:
            half.update(*batch)
    first.merge_state(second)
    same(results(first), results(whole(name)))


@pytest.mark.parametrize("name", SCENES)
def test_forward_and_reset(name):
    make, batches = SCENES[name]
    metric = make()
    for batch in batches:
        value = metric(*batch)
        alone = make()
        alone.update(*batch)
        assert_close(value, alone.compute(), equal_nan=True)
    same(results(metric), results(whole(name)))
    metric.reset()
    for batch in batches:
        metric.update(*batch)
    same(results(metric), results(whole(name)))


@pytest.mark.slow
def test_two_processes_are_one(tmp_path):
    spawn(work, (str(tmp_path),), nprocs=2)
    for rank in (0, 1):
        reports = torch.load(tmp_path / f"{rank}.pt", weights_only=False)
        for name in SCENES:
            assert reports[name].pop("restored"), name
            same(reports[name], results(whole(name)))
