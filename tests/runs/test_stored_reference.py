"""A run stores the reference of its similarities: of validation images, which its model was not trained on."""

from __future__ import annotations

import json

import pytest

import resemblance
from tiny import digits

QUICK = {"epochs": 2, "batch_size": 64}


@pytest.fixture(scope="module")
def images():
    return digits(600, 300)


@pytest.fixture(scope="module")
def refitted(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "all"
    return resemblance.train("prototypedl", images, folder, refit_on_all=True, **QUICK)


def stored(run):
    file = run.folder / "model" / "reference.json"
    return json.loads(file.read_text()) if file.exists() else None


def test_training_and_conversion_store_it(images, tmp_path):
    run = resemblance.train("prototypedl", images, tmp_path / "run", **QUICK)
    converted = resemblance.convert(run, images, tmp_path / "kmex", force=True)
    for one in (run, converted):
        reference = resemblance.load(one.folder).reference
        assert reference == one.model.reference
        assert not reference.before_refit
        assert reference.calibration.images == 300
        assert reference.whole.images == round(one.metrics["val"]["accuracy"] * 300)
        assert stored(one)["all"]["images"] == reference.whole.images


def test_a_model_that_was_trained_on_the_validation_images_has_that_of_before(refitted):
    reference = refitted.model.reference
    assert reference.before_refit
    assert reference.whole is not None  # though its prototypes get their classes after training only
    assert reference.whole.images <= 300
    assert stored(refitted)["before_refit"] is True


def test_what_is_made_of_such_a_model_has_none(refitted, images, tmp_path):
    converted = resemblance.convert(refitted.folder, images, tmp_path / "kmex", force=True)
    assert converted.model.reference is None
    assert stored(converted) is None
    [explanation] = converted.explain(images.val.read(0))
    assert explanation.familiarity.verdict == "no reference"


def test_the_command_abstains_and_answers_with_a_set(refitted, images, tmp_path, command):
    images.val.read(0).save(tmp_path / "digit.png")
    arguments = ["explain", refitted.folder, tmp_path / "digit.png", "--maps", "none", "--json"]
    code, out, err = command(*arguments, "--conformal", "0.9", "--output", tmp_path / "page.html")
    assert code == 0, err
    [record] = json.loads(out)
    assert record["answer_set"]["level"] == 0.9
    assert record["answer_set"]["before_refit"] is True
    assert record["familiarity"]["verdict"] in ("familiar", "unfamiliar", "too few images")
    code, _, err = command(*arguments, "--abstain-below", "1.5")
    assert code == 2
    assert "--abstain-below must be at most 1" in err
