"""A method's extra metrics, from the hook to the files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from resemblance.cli.console import screen
from resemblance.cli.finished import show_finished
from resemblance.data import ArraySource
from resemblance.data.sources.source import DataSplits
from resemblance.data.transforms import to_tensor
from resemblance.metrics.evaluation import evaluate
from resemblance.report.from_run import run_report
from resemblance.runs.finish import finish
from toy_model import Toy


class Doubting(Toy):
    """A model with two extra metrics: the accuracy of its second guess, and its mean confidence."""

    def extra_metrics(self, output, labels):
        second = output.scores.topk(2).indices[:, 1]
        return {"second guess": second == labels, "confidence": output.scores.softmax(1).amax(1)}


@pytest.fixture
def source():
    generator = np.random.default_rng(0)
    return ArraySource(
        generator.integers(0, 256, (11, 16, 16, 3), dtype=np.uint8),
        generator.integers(0, 3, 11),
        ("cat", "dog", "eel"),
    )


def test_means_are_over_images_whatever_the_batches(source):
    model = Doubting().eval()
    images = torch.stack([to_tensor(source.read(i), model.spec.image) for i in range(11)])
    with torch.no_grad():
        scores = model(images).scores
    second = (scores.topk(2).indices[:, 1] == torch.from_numpy(np.asarray(source.labels))).float().mean()
    expected = {"second guess": second.item(), "confidence": scores.softmax(1).amax(1).mean().item()}
    for batch_size in (1, 4, 128):
        evaluation = evaluate(model, source, batch_size=batch_size)
        assert evaluation.measured == pytest.approx(expected)
        assert evaluation.to_dict()["measured"] == pytest.approx(expected)
    assert evaluate(Toy(), source).measured == {}


def test_extra_metrics_are_printed_and_written_with_the_run(source, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Doubting, "save", lambda self, folder: None)
    splits = DataSplits(train=source, val=source, test=None, classes=source.classes, name="noise")
    run = finish(Doubting(), splits, tmp_path)
    with screen(False) as out:
        show_finished(run, out)
    printed = capsys.readouterr().out
    assert "second guess" in printed
    written = json.loads((tmp_path / "metrics.json").read_text())
    value = written["val"]["measured"]["confidence"]
    assert f"{100 * value:.2f} %" in printed
    assert run_report(run, None).facts["Confidence, validation"] == f"{100 * value:.2f} %"
