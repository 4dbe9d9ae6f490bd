"""``resemblance reproduce`` as a user types it, on the embedded digits."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from commanding import Command
from made_experiments import write_experiments
from resemblance.reproduce.named_rows import experiments_folder
from resemblance.reproduce.task import read_record_file

ROOT = Path(__file__).parents[2]
QUICK = """
source: Nobody 2024
table: Table 1
row: autoencoder
steps:
  model: {train: prototypedl, options: {epochs: 3, prototypes: 5, batch-size: 500, augment: none}}
measures:
  accuracy: {value: test.accuracy, percent: true}
cells:
  digits: {paper: {accuracy: [10, 90]}}
"""


def test_a_row_is_run_within_a_budget_and_its_table_written(tmp_path, command: Command):
    folder = write_experiments(tmp_path / "experiments", quick=QUICK)
    words = ("reproduce", "made/table1", "--experiments", folder, "--output", tmp_path / "results", "--json")
    code, out, err = command(*words, "--budget", "0.0001")
    assert code == 0, err
    [outcome] = json.loads(out)["outcomes"]
    assert outcome["epochs"] == "1 of 3"
    assert "with 1 of 3 epochs" in err
    assert outcome["verdict"] == "within ±"
    table = (tmp_path / "results" / "table.md").read_text(encoding="utf-8")
    assert "| autoencoder | digits | accuracy, % | 10 ± 90 |" in table
    assert "| 1 of 3 |" in table
    assert "`resemblance train prototypedl --data digits" in table
    assert str(tmp_path) not in table
    path = tmp_path / "results/made/table1/quick/digits/seed-0/quick.json"
    before = read_record_file(path)
    assert before.finished
    assert command(*words)[0] == 0
    assert read_record_file(path) == before, "what is finished was run again"


def test_without_a_name_the_experiments_are_listed(tmp_path, command: Command, monkeypatch):
    monkeypatch.delenv("RESEMBLANCE_DATA", raising=False)
    code, out, _ = command("reproduce", "--experiments", write_experiments(tmp_path))
    assert code == 0
    assert "Nobody 2024, Table 1  (made/table1)" in out
    assert "data at hand; the paper: accuracy 80 ± 1" in out
    assert "needs birds" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prototypedll"], "there is no experiment 'prototypedll'; did you mean 'prototypedl'"),
        (["prototypedl", "--data", "minst:/tmp"], "no experiment reads 'minst'; did you mean 'mnist'"),
        (["prototypedl", "--seeds", "0,0"], "--seeds: expected different whole numbers from 0"),
        (["prototypedl", "--budget", "0"], "--budget must be above 0"),
    ],
)
def test_mistakes_are_answered_in_a_line(command: Command, tmp_path, words, message):
    code, _, err = command("reproduce", *words, "--output", tmp_path)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def test_the_wheel_and_the_source_archive_carry_the_experiments():
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    [(place, inside)] = targets["wheel"]["force-include"].items()
    assert ROOT / place == experiments_folder()
    assert inside == "resemblance/experiments"
    assert any(place.startswith(folder) for folder in targets["sdist"]["include"])
