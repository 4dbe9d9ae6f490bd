"""Test which images a run's report uses."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cases import made
from frozen import counting_images
from models import noise_for
from resemblance.data.sources.source import DataSplits, Subset
from resemblance.metrics.evaluation import evaluate
from resemblance.report import from_run
from resemblance.report.chosen_images import SearchedImages, choose_images, search_images
from resemblance.report.latent_space import Embeddings, embedded_images
from resemblance.runs.run import RunRecord
from tiny import digits
from toy_model import Toy


@pytest.mark.parametrize(("config", "counted"), [({}, 12), ({"refit_on_all": True}, 20)])
def test_sources_are_counted_among_the_images_that_prototypes_come_from(monkeypatch, config, counted):
    """After ``--refit-on-all``, source indices number the training images and then the validation images."""
    model = Toy()
    images = noise_for(model, 24)
    train, val, test = (Subset(images, np.arange(*ends)) for ends in ((0, 12), (12, 20), (20, 24)))
    splits = DataSplits(train, val, test, model.spec.classes, "noise")
    calls = []
    monkeypatch.setattr(from_run, "paper_figures", lambda model, inputs: calls.append(inputs) or {})
    from_run.run_report(RunRecord("run", model, config=config), splits, explain=1)
    (inputs,) = calls
    assert len(inputs.train) == counted
    order = [*range(12), *range(12, 20)][:counted]
    for index, image in enumerate(order):
        assert np.array_equal(np.asarray(inputs.train.read(index)), np.asarray(images.read(image)))
    assert len(inputs.source) == 4


@pytest.mark.parametrize(
    ("data", "images", "known"), [("noise", 4, True), ("other", 4, False), ("noise", 9, False)]
)
def test_mistakes_are_known_only_of_the_images_that_were_measured(monkeypatch, tmp_path, data, images, known):
    model = Toy()
    source = noise_for(model, 12)
    train, test = Subset(source, np.arange(8)), Subset(source, np.arange(8, 12))
    splits = DataSplits(train, Subset(source, []), test, model.spec.classes, "noise")
    metrics = {
        "data": data,
        "images": {"test": images},
        "test": {"wrong": [2, 3], "confusion": np.eye(3).tolist()},
    }
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    given = []
    monkeypatch.setattr(from_run, "choose_images", lambda *arguments: given.append(arguments[2]) or [0])
    monkeypatch.setattr(from_run, "search_images", lambda *_: SearchedImages([0], [9], Embeddings(model)))
    monkeypatch.setattr(from_run, "_figures", lambda *_: [])
    from_run.run_report(RunRecord("run", model, tmp_path), splits, explain=1)
    assert given == [[2, 3] if known else [9]]


def test_one_pass_finds_mistakes_and_embeddings():
    model = made("protopnet", encoder="small").eval()
    source = digits(40, 5).train
    with counting_images() as counts:
        searched = search_images(model, source, 25, 3, 8, 0)
        embedded = embedded_images(RunRecord("run", model), source, 25, 3, "pca", 8, 0, searched.embeddings)
    assert sum(counts) == 25
    order = np.random.default_rng(3).permutation(40)[:25].tolist()
    wrong = set(evaluate(model, source).wrong)
    assert searched.order == order
    assert searched.wrong == [index for index in order if index in wrong]
    expected = embedded_images(RunRecord("run", model), source, 25, 3, "pca", 8)
    np.testing.assert_allclose(embedded.images, expected.images, atol=1e-5)
    assert embedded.labels.tolist() == expected.labels.tolist() == source.labels[sorted(order)].tolist()


def test_a_quarter_of_the_images_are_the_least_familiar_ones():
    chosen = choose_images(range(40), 8, [3, 1, 7], [9, 3, 11, 12])
    assert chosen[:5] == [3, 1, 7, 9, 11]
    assert len(set(chosen)) == len(chosen) == 8
    few = choose_images([0, 1], 8, [1], [0])
    assert sorted(few) == [0, 1]
