"""A run on data in which the images of some classes are compressed: it knows which, and measures both test sets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import resemblance
from resemblance.cli.main import main
from resemblance.config.errors import UserError
from resemblance.data.compress import compress
from resemblance.data.sources.compressed import CompressedSource
from resemblance.runs.metrics_file import ORIGINAL_TEST

FAST = {"encoder": "small", "epochs": 1, "image_size": 16}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "black box"
    return resemblance.train("blackbox", "digits", folder, jpeg_classes="3,7", jpeg_quality=10, **FAST)


def test_both_test_sets_are_measured(run):
    altered = run.evaluate().accuracy
    original = run.evaluate("digits").accuracy
    assert run.metrics["test"]["accuracy"] == altered
    assert run.metrics[ORIGINAL_TEST]["accuracy"] == original
    assert run.metrics["images"][ORIGINAL_TEST] == run.metrics["images"]["test"]
    assert run.model.facts["accuracy"].keys() == {"val", "test", ORIGINAL_TEST}
    assert any("3, 7 are compressed" in note for note in run.notes)


def test_an_opened_run_has_the_images_that_it_was_trained_on(run):
    opened = resemblance.open_run(run.folder)
    for name in ("train", "val", "test"):
        source = getattr(opened.images(), name)
        assert isinstance(source, CompressedSource)
        assert np.array_equal(source.array, getattr(run.splits, name).array)
        row = int(np.flatnonzero(source.labels == 7)[0])
        expected = compress(source.source.read(row), 10)
        assert np.array_equal(np.asarray(source.read(row)), np.asarray(expected))
        assert set(source.labels[source.changed]) == {3, 7}
    assert not isinstance(opened.images("digits").test, CompressedSource)


def test_half_is_the_same_half_when_the_run_is_opened(tmp_path):
    run = resemblance.train("prototypedl", "digits", tmp_path / "run", epochs=1, jpeg_classes="half", seed=5)
    opened = resemblance.open_run(run.folder)
    assert np.array_equal(opened.images().test.changed, run.splits.test.changed)
    assert len(set(run.splits.test.labels[run.splits.test.changed])) == 5


def test_a_conversion_reads_the_images_of_its_run(run, tmp_path):
    converted = resemblance.convert(run.folder, output=tmp_path / "kmex", force=True)
    assert converted.metrics["data"] == "digits (JPEG 10 of 2 classes)"
    assert np.array_equal(resemblance.open_run(converted.folder).images().train.array, run.splits.train.array)
    other = resemblance.convert(run.folder, "digits", tmp_path / "other", force=True)
    assert other.metrics["data"] == "digits"


def test_runs_on_altered_and_original_images_are_not_compared_unless_asked(run, tmp_path):
    plain = resemblance.train("blackbox", "digits", tmp_path / "plain", **FAST)
    with pytest.raises(UserError, match="different data"):
        resemblance.evaluate([run, plain], metrics="accuracy")
    both = resemblance.evaluate([run, plain], "digits", metrics="accuracy")
    assert both.measured[0].result.evaluation.accuracy == run.metrics[ORIGINAL_TEST]["accuracy"]


def test_command_and_report_name_both_test_sets(tmp_path, capsys):
    folder = tmp_path / "run"
    options = [
        "--data",
        "digits",
        "--encoder",
        "small",
        "--epochs",
        "1",
        "--image-size",
        "16",
        "--jpeg-classes",
        "odd",
    ]
    assert main(["train", "blackbox", *options, "--output", str(folder), "--no-progress"]) == 0
    printed = capsys.readouterr().out
    page = Path(folder / "report.html").read_text(encoding="utf-8")
    for text in (printed, page):
        assert "test (altered)" in text
        assert "test (original)" in text
    assert json.loads((folder / "metrics.json").read_text(encoding="utf-8"))[ORIGINAL_TEST]["images"] == 359


def test_unknown_classes_are_refused_before_training(tmp_path):
    with pytest.raises(UserError, match="there is no class 'ten'"):
        resemblance.train("blackbox", "digits", tmp_path / "run", jpeg_classes="ten", **FAST)
    assert not (tmp_path / "run" / "config.yaml").exists()
