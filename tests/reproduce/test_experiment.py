"""Reading the files of experiments: what they say, and every mistake in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from made_experiments import BLACK_BOX, write_experiments
from resemblance.config.errors import UserError
from resemblance.reproduce.data_at_hand import data_at_hand
from resemblance.reproduce.experiment import Figure
from resemblance.reproduce.named_rows import choose, read_rows


def test_a_row_is_read(tmp_path):
    rows = read_rows(write_experiments(tmp_path))
    assert list(rows) == ["made/table1/blackbox", "made/table1/kmex"]
    row = rows["made/table1/blackbox"]
    assert (row.title, row.seeds, row.steps["model"].options) == (
        "black box",
        2,
        {"encoder": "small", "epochs": 40},
    )
    assert row.cells["digits"].paper == {"accuracy": Figure(80.0, 1.0)}
    birds = row.cells["birds"]
    assert birds.data == "birds"
    assert birds.paper == {}
    assert row.figure(birds, "accuracy") == Figure(80.0, 1.0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("row: black box", "", "experiment made/table1/row: 'row' is missing"),
        ("seeds: 2", "seed: 2", "has no entry 'seed'"),
        ("{train: blackbox,", "{", "step model: expected one of train, convert, evaluate, audit"),
        ("{value: test.accuracy,", "{step: modell, value: x,", "measure accuracy: there is no step 'modell'"),
        ("{accuracy: [80, 1]}", "{acuracy: 80}", "cell digits: there is no measure 'acuracy'"),
        ("[80, 1]", "[80, 1, 2]", r"cell digits: accuracy: expected the mean, or \[mean, ±\]"),
        ("beside: digits", "beside: birdz", "cell birds: beside: there is no cell 'birdz' before it"),
        ("beside: digits", "options: {modell: {}}", "cell birds: options: there is no step 'modell'"),
    ],
)
def test_a_mistake_is_named(tmp_path, old, new, message):
    assert old in BLACK_BOX
    write_experiments(tmp_path, row=BLACK_BOX.replace(old, new))
    with pytest.raises(UserError, match=message) as error:
        read_rows(tmp_path)
    assert "\n" not in str(error.value)


def test_names_mean_papers_tables_rows_cells_and_patterns(tmp_path):
    rows = read_rows(write_experiments(tmp_path))
    everything = [one.name for one in choose(rows, ["made"])]
    assert everything == [
        "made/table1/blackbox/digits",
        "made/table1/blackbox/birds",
        "made/table1/kmex/digits",
    ]
    assert [one.name for one in choose(rows, ["made/table1"])] == everything
    assert [one.name for one in choose(rows, ["made/table1/kmex", "made/*/*/birds"])] == everything[1:]
    with pytest.raises(UserError, match=r"no experiment 'made/tabel1'; did you mean 'made/table1'"):
        choose(rows, ["made/tabel1"])


def test_data_is_named_or_found_in_a_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("RESEMBLANCE_DATA", raising=False)
    assert data_at_hand() == {"digits": "digits"}
    (tmp_path / "mnist").mkdir()
    (tmp_path / "oxford-pets-three").mkdir()
    (tmp_path / "oxford-pets-three" / "images.zip").touch()
    found = {
        "digits": "digits",
        "mnist": f"mnist:{tmp_path}/mnist",
        "pets": f"{tmp_path}/oxford-pets-three/images.zip",
    }
    assert data_at_hand([str(tmp_path)]) == found
    monkeypatch.setenv("RESEMBLANCE_DATA", str(tmp_path))
    assert data_at_hand() == found
    assert data_at_hand([f"cub:{tmp_path}"]) == {"digits": "digits", "cub": f"cub:{tmp_path}"}
    assert data_at_hand([f"birds:{tmp_path}"], ["birds"])["birds"] == str(tmp_path)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("minst:/tmp", "no experiment reads 'minst'; did you mean 'mnist'"),
        ("mnist:/no/where", "there is no file or folder /no/where"),
        ("/no/where", "expected NAME:PATH, or a folder of data sets"),
    ],
)
def test_wrong_data_is_named(word, message):
    with pytest.raises(UserError, match=message):
        data_at_hand([word])


def test_the_experiments_of_this_library_are_complete():
    """Each refers only to steps, rows and data that exist, and its options are those of its commands."""
    from resemblance.cli.arguments import parse
    from resemblance.config.commands import COMMANDS, TrainCommand
    from resemblance.methods.registry import get_config
    from resemblance.reproduce.data_at_hand import KNOWN
    from resemblance.reproduce.plan_rows import Plan
    from resemblance.reproduce.run_tasks import in_order

    rows = read_rows()
    plan = Plan(rows, {name: "digits" for name in KNOWN}, Path("/results"))
    tasks = in_order(task for chosen in choose(rows, ["*"]) for task in plan.tasks(chosen, 0).values())
    assert len(tasks) >= len(rows)
    for task in tasks:
        options = {name: value for name, value in task.options.items() if name != "start"}  # is read at once
        words = replace(task, options=options).words()
        if task.verb == "train":
            parse(task.name, "", words[2:], TrainCommand, get_config(task.subjects[0]))
        else:
            parse(task.name, "", words[1:], COMMANDS[task.verb])
