"""Test every method on the command line: train, explain, prototypes, evaluate, embed, report, on the digits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import resemblance
from cases import METHODS, case_of
from resemblance.cli.main import main
from resemblance.core.prototype_model import PrototypeModel
from resemblance.methods.registry import get_config, model_class


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_from_training_to_the_report(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    case, run = case_of(method), tmp_path / "run"
    explains = issubclass(model_class(get_config(method)), PrototypeModel)
    monkeypatch.setenv("RESEMBLANCE_DEBUG", "1")
    picture = tmp_path / "digit.png"
    resemblance.open_data("digits").test.read(0).resize((40, 50)).convert("RGB").save(picture)

    def printed(*arguments: object, code: int = 0) -> str:
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert status == code, (arguments, captured)
        return captured.err if code else captured.out

    printed("train", method, "--data", "digits", *case.command.split(), "--no-progress", "--output", run)
    metrics = json.loads((run / "metrics.json").read_text())
    for name in case.page:
        assert name in (run / "report.html").read_text()

    out = printed("evaluate", run, "--output", tmp_path / "evaluated.json")
    evaluated = json.loads((tmp_path / "evaluated.json").read_text())
    assert evaluated["accuracy"] == metrics["test"]["accuracy"]
    assert set(case.measured) == set(evaluated["measured"])
    for name, least in case.measured.items():
        assert f"{name}: " in out
        assert least <= evaluated["measured"][name] <= 1, name
    assert evaluated["measured"] == pytest.approx(metrics["test"]["measured"], abs=1e-6)
    assert "\nensemble " in printed("evaluate", run, run, "--ensemble")

    arguments = ("explain", run, picture, "--label", "0", "--output", tmp_path / "why")
    if explains:
        out = printed(*arguments)
        assert all(words in out for words in case.explained)
        assert (tmp_path / "why" / "digit.png").stat().st_size > 10_000
        assert "digit.png" in (tmp_path / "why" / "index.html").read_text()
        printed("prototypes", run, "--output", tmp_path / "gallery.png")
        assert (tmp_path / "gallery.png").stat().st_size > 10_000
    else:
        assert "convert" in printed(*arguments, code=2)
        assert "convert" in printed("prototypes", run, code=2)

    assert "50 test images" in printed("embed", run, "--output", tmp_path / "embedded.png", "--limit", "50")
    printed("report", run, "--explain", "2", "--output", tmp_path / "again.html")
    page = (tmp_path / "again.html").read_text()
    assert all(words in page for words in case.page)
    assert "<script" not in page
