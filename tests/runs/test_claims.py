"""Claimed figures against measured ones."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import resemblance
from commanding import Command
from forged_folders import change_json, forge, make_run, splits_of
from resemblance.metrics.evaluation import Evaluation
from resemblance.runs.claims import Claim, claim_lines, claims_of_run, compare_claims, differences
from resemblance.runs.opening import read_run


def measured(correct: int, images: int, **more: Any) -> Evaluation:
    """Make an evaluation with so many images classified correctly, half of them of each class."""
    wrong, half = images - correct, correct // 2
    return Evaluation(("a", "b"), np.array([[half, wrong], [0, correct - half]]), **more)


def compare(claimed: float, correct: int, images: int, of: int | None = None, **how: bool) -> Claim:
    metrics = {} if of is None else {"test": {"images": of}}
    options = {"same_data": True} | how
    [claim] = compare_claims(
        {"accuracy": {"test": claimed}}, metrics, measured(correct, images), "test", **options
    )
    return claim


@pytest.mark.parametrize("of", [None, 1000])
def test_on_the_same_images_any_difference_counts(of: int | None) -> None:
    assert not compare(0.971, 971, 1000, of).differs
    assert not compare(0.971 + 1e-12, 971, 1000, of).differs
    one = compare(0.972, 971, 1000, of)
    assert (one.differs, one.same_images) == (True, True)
    assert one.says == (
        "config.json claims an accuracy of 97.20 % on test, but measured here on the same 1000 images: 97.10 % "
        "(1 image fewer)"
    )
    assert "(22 images fewer)" in compare(0.993, 971, 1000, of).says
    assert "(9 images more)" in compare(0.962, 971, 1000, of).says
    assert "less than one image; the claim may be rounded" in compare(0.9714, 971, 1000, of).says


def plain_error(claimed: float, found: float, images: int, of: int | None) -> float:
    spread = max(claimed - claimed**2, found - found**2)
    return (spread / images + (0 if of is None else spread / of)) ** 0.5


@pytest.mark.parametrize("of", [None, 400])
@pytest.mark.parametrize("claimed", np.linspace(0.8, 1.0, 9).tolist())
def test_on_other_images_two_standard_errors_count(claimed: float, of: int | None) -> None:
    for correct in range(150, 201, 5):
        for how, other in (({"same_data": False}, of), ({"whole": False}, None)):
            claim = compare(claimed, correct, 200, of, **how)
            error = plain_error(claimed, correct / 200, 200, other)
            assert claim.differs == (abs(claimed - correct / 200) > 2 * error)
            assert not claim.same_images
            assert f"two standard errors ({200 * error:.2f} points)" in claim.says


def test_it_says_which_images_were_measured() -> None:
    assert "on 100 of the 500 images: " in compare(0.9, 90, 100, 500, whole=False).says
    assert "on 100 images of a split that had 500: " in compare(0.9, 90, 100, 500).says
    assert "on 100 images of other data: " in compare(0.9, 90, 100, 500, same_data=False).says


def test_every_figure_that_both_have_is_compared() -> None:
    facts = {
        "accuracy": {"val": 0.9, "test": 0.8},
        "black_box": {"test": 0.85},
        "agreement": {"test": 0.9},
        "prototypes": 30,
    }
    metrics = {"test": {"images": 100, "accuracy": 0.81, "measured": {"fidelity": 0.7, "other": 1.0}}}
    found = measured(
        80, 100, black_box=0.85, agreement=0.89, prototypes=20, measured={"fidelity": 0.7 + 1e-8}
    )
    claims = compare_claims(facts, metrics, found, "test", same_data=True)
    assert [(one.figure, one.files, one.claimed, one.measured, one.differs) for one in claims] == [
        ("accuracy", ("config.json",), 0.8, 0.8, False),
        ("black box", ("config.json",), 0.85, 0.85, False),
        ("agreement", ("config.json",), 0.9, 0.89, True),
        ("prototypes", ("config.json",), 30, 20, True),
        ("accuracy", ("metrics.json",), 0.81, 0.8, True),
        ("fidelity", ("metrics.json",), 0.7, 0.7 + 1e-8, False),
    ]
    assert differences(claims) == [claims[2].says, claims[3].says, claims[4].says]
    assert "claims an agreement with the black box of 90.00 % on test, but" in claims[2].says
    assert claims[3].says == "config.json claims 30 prototypes, but the model has 20"
    assert claim_lines(claims)[-1] == "claimed and measured agree: accuracy, black box, fidelity"
    both = compare_claims(
        {"accuracy": {"test": 0.8}}, {"test": {"accuracy": 0.8}}, found, "test", same_data=True
    )
    assert [one.files for one in both] == [("config.json", "metrics.json")]


def test_impossible_claims_differ_and_are_json() -> None:
    for claimed in (1.5, math.nan, math.inf, -0.1):
        for how in ({}, {"same_data": False}, {"whole": False}):
            claim = compare(claimed, 90, 100, **how)
            assert claim.differs
            json.dumps(claim.to_dict(), allow_nan=False)


def test_other_data_is_compared_with_the_claim_for_the_test_images() -> None:
    facts = {"accuracy": {"val": 0.5, "test": 0.9}}
    for split, expected in (("test", 0.9), ("train", 0.9), ("val", 0.5)):
        [claim] = compare_claims(facts, {}, measured(90, 100), split, same_data=False)
        assert claim.claimed == expected
    assert compare_claims(facts, {}, measured(90, 100), "train", same_data=True) == []
    [claim] = compare_claims({"accuracy": {"val": 0.5}}, {}, measured(90, 100), "test", same_data=False)
    assert claim.split == "val"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("whole") / "run")


def test_names_and_seeds_tell_whether_the_images_are_the_same(whole: Path, tmp_path: Path) -> None:
    run, splits = read_run(whole), splits_of()
    alone = read_run(shutil.copytree(whole / "model", tmp_path / "alone"))

    def same(record: Any, data: Any, split: str, **how: bool) -> bool:
        evaluation = resemblance.evaluate(record, data, split=split)
        accuracy = [
            one for one in claims_of_run(record, evaluation, data, split, **how) if one.figure == "accuracy"
        ]
        assert not any(one.differs for one in accuracy if data.name == "noise")
        return accuracy[0].same_images

    assert same(run, splits, "test")
    assert same(run, splits, "val")
    assert not same(run, splits, "test", whole=False)
    assert not same(run, splits_of(seed=1, name="more noise"), "test")
    assert same(alone, splits, "test")
    assert not same(alone, splits, "val")  # of which the seed is not known


def test_measurements_that_cannot_be_read_claim_nothing(whole: Path, tmp_path: Path) -> None:
    run = read_run(shutil.copytree(whole, tmp_path / "run"))
    (tmp_path / "run" / "metrics.json").write_text("{")
    evaluation = resemblance.evaluate(run, splits_of())
    claims = claims_of_run(run, evaluation, splits_of(), "test")
    assert {one.files for one in claims} == {("config.json",)}


@pytest.mark.parametrize("metrics", [(), ("--metrics", "accuracy")])
def test_evaluate_finds_a_forged_accuracy(metrics: tuple[str, ...], tmp_path: Path, command: Command) -> None:
    run = make_digits_run(tmp_path / "run")
    honest = json.loads(command("evaluate", run, "--json", *metrics)[1])
    assert {claim["figure"] for claim in honest["claims"]} == {"accuracy", "prototypes"}
    assert not any(claim["differs"] for claim in honest["claims"])
    forge_accuracy(run, 1.0)
    code, out, _ = command("evaluate", run, *metrics, "--output", tmp_path / "e")
    assert code == 0
    assert "claim an accuracy of 100.00 % on test, but measured here on the same 359 images: " in out
    told = json.loads((tmp_path / "e" / "evaluation.json").read_text())
    [accuracy] = [claim for claim in told["claims"] if claim["figure"] == "accuracy"]
    assert accuracy["differs"]
    assert (accuracy["claimed"], accuracy["measured"]) == (1.0, told["accuracy"])
    if metrics:
        assert [f"run: {accuracy['says']}"] == told["notes"]


def make_digits_run(folder: Path) -> Path:
    """Train for an epoch, on data that the command can open again."""
    resemblance.train("prototypedl", "digits", folder, accelerator="cpu", epochs=1, batch_size=128)
    return folder


def forge_accuracy(run: Path, value: float) -> None:
    forge(run / "model", lambda document: document["facts"]["accuracy"].update(test=value))
    change_json(run / "metrics.json", lambda document: document["test"].update(accuracy=value))
