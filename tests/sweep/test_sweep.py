"""Sweeps: combinations, what is kept, the table and the plot, and mistakes in one line."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from commanding import Command
from made_experiments import PretendedCommand
from resemblance.config.errors import UserError
from resemblance.runs.messages import Messages
from resemblance.sweep.option_grid import combinations, read_grid
from resemblance.sweep.sweep_results import sweep_chart, sweep_table, write_sweep
from resemblance.sweep.sweeping import SweepPoint, sweep, sweep_tasks

GRID = {"slots": ("3", "10", "5"), "focal": ("true", "false")}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing is varied"),
        (["slots"], "expected OPTION=VALUE,VALUE"),
        (["slots=3", "slots=5"], "given twice"),
        (["slots=3,3"], "given twice"),
        (["seed=1,2"], "seed cannot be varied here .see --seeds"),
        (["slot=1,2"], "there is no option 'slot'; did you mean 'slots'"),
    ],
)
def test_mistakes_in_a_grid_are_named(words, message):
    with pytest.raises(UserError, match=message):
        read_grid(words, ["slots", "focal", "seed"])


def test_too_many_combinations_are_refused():
    with pytest.raises(UserError, match="10000 combinations"):
        combinations({name: tuple(map(str, range(100))) for name in ("a", "b")})


def test_all_combinations_run_once_for_each_seed_and_are_kept(tmp_path):
    pretended = PretendedCommand()
    tasks = sweep_tasks("train", "protopool", {"data": "digits"}, GRID, [0, 1], tmp_path)
    points, failed = sweep(GRID, tasks, pretended, Messages())
    assert failed == {}
    assert len(pretended.calls) == 12
    first = [
        "train",
        "protopool",
        "--data",
        "digits",
        "--no-report",
        "--slots",
        "3",
        "--focal",
        "--seed",
        "0",
    ]
    assert pretended.calls[0][:-2] == first
    assert "--no-focal" in pretended.calls[2]
    assert len({words[-1] for words in pretended.calls}) == 12
    sweep(GRID, tasks, pretended, Messages())
    assert len(pretended.calls) == 12
    header, rows = sweep_table(points)
    assert header == ["slots", "focal", "validation, %", "test, %", "seeds", "minutes"]
    assert rows[0] == ["3", "true", "–", "80.50 ± 0.71", "0, 1", "0.1"]


def point(slots: str, focal: str, *accuracies: float) -> SweepPoint:
    return SweepPoint({"slots": slots, "focal": focal}, {"test": dict(enumerate(accuracies))})


def test_the_plot_has_a_curve_for_each_combination_of_the_other_options_with_bars_over_seeds():
    points = [point("10", "true", 0.9, 0.8), point("3", "true", 0.6), point("3", "false", 0.5, 0.5)]
    figure = sweep_chart(points, GRID)
    assert [text.get_text() for text in figure.texts] == ["focal true", "focal false"]
    [axes] = [axes for axes in figure.axes if axes.get_xlabel()]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("slots", "test accuracy, %")
    curve = axes.lines[0]
    assert list(curve.get_xdata()) == [3, 10], "points are in the order of their numbers"
    assert list(curve.get_ydata()) == pytest.approx([60, 85])
    [bars] = [bars for bars in axes.collections if len(bars.get_segments()) == 2]
    low, high = bars.get_segments()[1][:, 1]
    assert high - low == pytest.approx(2 * 100 * 0.005**0.5)


def test_values_that_are_no_numbers_stand_in_their_order():
    points = [SweepPoint({"augment": name}, {"test": {0: 0.5}}) for name in ("none", "crop")]
    figure = sweep_chart(points, {"augment": ("none", "crop")})
    assert "augment (1: none, 2: crop)" in [axes.get_xlabel() for axes in figure.axes]


def test_a_sweep_of_failures_has_a_table_and_no_plot(tmp_path):
    paths = write_sweep([SweepPoint({"slots": "3"})], {"slots": ("3",)}, "resemblance sweep", tmp_path)
    assert [path.name for path in paths] == ["table.txt", "table.md", "table.json"]


def test_a_sweep_as_a_user_types_it(tmp_path, command: Command):
    output = tmp_path / "sweep"
    words = ["prototypedl", "--data", "digits", "--epochs", "1", "--batch-size", "700", "--augment", "none"]
    code, out, err = command(
        "sweep", *words, "--over", "prototypes=3,6", "--seeds", "0", "--output", output, "--json"
    )
    assert code == 0, err
    assert [one["values"] for one in json.loads(out)["points"]] == [{"prototypes": "3"}, {"prototypes": "6"}]
    Image.open(output / "sweep.png").verify()
    table = (output / "table.md").read_text(encoding="utf-8")
    assert "`resemblance sweep prototypedl" in table
    assert "--over prototypes=3,6 --seeds 0`" in table
    run = output / "prototypes-6" / "seed-0" / "prototypes-6"
    kmex = tmp_path / "kmex"
    again = ("sweep", "convert", run, "--force", "--over", "prototypes-per-class=1,2", "--output", kmex)
    code, _, err = command(*again)
    assert code == 0, err
    assert (kmex / "prototypes-per-class-2" / "seed-0" / "prototypes-per-class-2" / "metrics.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["protopol", "--over", "slots=1"], "unknown method 'protopol'; did you mean 'protopool'"),
        (["protopool", "--data", "digits"], "--over is missing"),
        (["protopool", "--data", "digits", "--over", "slot=1"], "there is no option 'slot'"),
        (
            ["protopool", "--data", "digits", "--over", "slots=1,x"],
            "--slots: expected a whole number, not 'x'",
        ),
        (["protopool", "--data", "digitz", "--over", "slots=1,2"], "digitz"),
    ],
)
def test_mistakes_are_answered_before_anything_runs(command: Command, tmp_path, words, message):
    code, _, err = command("sweep", *words, "--output", tmp_path / "sweep")
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "sweep").exists()
