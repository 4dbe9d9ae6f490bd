"""Passes over images on two devices: the same results, to the last bit, as on one."""

from __future__ import annotations

import pytest

from cases import digits, made
from dividing import helped_by_threads
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import loader
from resemblance.methods.kmex.clustering import cluster
from resemblance.metrics.evaluation import evaluate
from resemblance.training.ends.projection import project
from resemblance.training.ends.usage import count_usage
from tiny import same


def results(method, **settings):
    """Project or cluster, count usage and evaluate a model; return it with what was reported."""
    splits = digits(90, 40)
    model = made(method, **settings).eval()
    batches = loader(ImageDataset(splits.train, model.spec.image), 16)
    report = None
    if method == "kmex":
        report = cluster(model, batches)
    elif model.traits.projects:
        report = project(model, batches).to_dict()
    count_usage(model, batches)
    return model, report, evaluate(model, splits.val, batch_size=8).to_dict()


@pytest.mark.parametrize(
    ("method", "settings"),
    [("protopnet", {}), ("pipnet", {}), ("kmex", {"patches": True}), ("kmex", {"patches": False})],
)
def test_two_devices_have_the_results_of_one(method, settings):
    model, report, evaluation = results(method, **settings)
    with helped_by_threads() as pool:
        passes = []
        run, pool.map = pool.map, lambda function, items: passes.append(len(items)) or run(function, items)
        other, other_report, other_evaluation = results(method, **settings)
    assert len(passes) >= 2
    assert all(count > 2 for count in passes)
    assert same(model, other)
    assert other_report == report
    assert other_evaluation == evaluation
