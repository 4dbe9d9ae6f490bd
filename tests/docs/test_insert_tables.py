"""The tables of reproduced experiments in a page."""

from __future__ import annotations

import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from resemblance.reproduce.named_rows import choose, read_rows
from resemblance.reproduce.plan_rows import Plan
from resemblance.reproduce.task import Record

SCRIPT = Path(__file__).parents[2] / "experiments" / "insert_tables.py"


def test_tables_stand_between_the_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_from_file_location("insert_tables", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    name, folder = "protovae/table5/full/mnist", tmp_path / "reproduced"
    rows = read_rows()
    [chosen] = choose(rows, [name])
    task = Plan(rows, {"mnist": "mnist:/elsewhere"}, folder).tasks(chosen, 1)["model"]
    task.folder.mkdir(parents=True)
    task.result_path.write_text(json.dumps({"test": {"accuracy": 0.991}}), encoding="utf-8")
    Record(task.shown(), task.recorded_options(), None, None, 60.0, "a machine", True).write(task.record_path)
    page = tmp_path / "page.md"
    begin, end = "<!-- reproduced protovae/table5: begin -->", "<!-- reproduced: end -->"
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["insert_tables.py", str(page), str(folder)])
    for _ in range(2):
        script.main()
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"before\n{begin}\n")
        assert text.endswith(f"{end}\nafter\n")
        assert "old" not in text
        assert text.count("| full loss | mnist | accuracy, % | 99.4 ± 0.1 (4) | 99.10 | 1 | -0.30 ! |") == 1
        assert "without L_orth" not in text
