"""Running experiments with a command that only pretends: order, records, what is stopped, what fails, the tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from made_experiments import PretendedCommand, write_experiments
from resemblance.config.errors import UserError
from resemblance.reproduce.budget import Budget, Cost
from resemblance.reproduce.experiment import Figure
from resemblance.reproduce.named_rows import choose, read_rows
from resemblance.reproduce.outcome import Outcome
from resemblance.reproduce.paper_table import markdown
from resemblance.reproduce.reproduction import Reproduction, reproduce
from resemblance.runs.messages import Messages
from resemblance.training.engine.interrupts import Interrupted


@pytest.fixture
def pretended() -> PretendedCommand:
    return PretendedCommand()


@pytest.fixture
def again(tmp_path: Path, pretended: PretendedCommand) -> Any:
    """Return a function that reproduces the made-up experiments that names mean."""
    rows = read_rows(write_experiments(tmp_path / "experiments"))

    def run(
        *names: str, seeds: tuple[int, ...] = (0,), budget: Budget | None = None, **more: Any
    ) -> Reproduction:
        return reproduce(
            rows,
            choose(rows, names),
            {"digits": "digits"},
            tmp_path / "results",
            seeds,
            pretended,
            Messages(),
            budget=None if budget is None else lambda: budget,
            **more,
        )

    return run


def folders(pretended: PretendedCommand) -> list[str]:
    return ["/".join(Path(words[-1]).parts[-4:]) for words in pretended.calls]


def test_what_a_row_builds_on_runs_first_and_once(again, pretended):
    result = again("made/table1/kmex", seeds=(0, 1))
    assert folders(pretended) == [
        "blackbox/digits/seed-0/blackbox",
        "kmex/digits/seed-0/kmex",
        "kmex/digits/seed-0/kmex-measured",
        "blackbox/digits/seed-1/blackbox",
        "kmex/digits/seed-0/kmex-ensemble",
        "kmex/digits/seed-1/kmex",
        "kmex/digits/seed-1/kmex-measured",
        "blackbox/digits/seed-2/blackbox",
        "blackbox/digits/seed-3/blackbox",
        "kmex/digits/seed-1/kmex-ensemble",
    ]
    train, convert, measured, _, ensemble = pretended.calls[:5]
    options = ["--data", "digits", "--no-report", "--encoder", "small", "--epochs", "40", "--seed", "0"]
    assert train[:-2] == ["train", "blackbox", *options]
    assert convert[:2] == ["convert", train[-1]]
    assert measured[:4] == ["evaluate", convert[-1], "--metrics", "ghosting"]
    assert ensemble[:4] == ["evaluate", train[-1], train[-1].replace("seed-0", "seed-1"), "--ensemble"]
    values = {outcome.measure: outcome for outcome in result.outcomes}
    assert list(values) == ["accuracy", "ghosting", "of two", "seen"]
    assert values["accuracy"].mean == pytest.approx(80.5)
    assert values["accuracy"].spread == pytest.approx(0.5**0.5)
    assert values["ghosting"].values == {0: 0.25, 1: 0.25}
    assert values["ghosting"].verdict == "beyond ±"
    assert values["seen"].problem == "not measured by this library"


def test_what_is_finished_is_not_run_again_and_what_was_stopped_goes_on(again, pretended):
    pretended.stop = "--seed"
    with pytest.raises(Interrupted, match="the same command goes on"):
        again("made/table1/blackbox/digits")
    pretended.stop = ""
    again("made/table1/blackbox/digits")
    assert "--resume" not in pretended.calls[0]
    assert pretended.calls[1] == [*pretended.calls[0], "--resume"]
    again("made/table1/blackbox/digits")
    assert len(pretended.calls) == 2
    again("made/table1/blackbox/digits", seeds=(0, 1))
    assert len(pretended.calls) == 3


def test_other_options_in_the_same_folder_are_refused(again, pretended, tmp_path):
    again("made/table1/blackbox/digits")
    path = tmp_path / "experiments/made/table1/blackbox.yaml"
    path.write_text(path.read_text().replace("small", "resnet18"))
    rows = read_rows(tmp_path / "experiments")
    with pytest.raises(UserError, match="holds a run with other options: resemblance train blackbox"):
        reproduce(
            rows,
            choose(rows, ["made/*/*/digits"]),
            {"digits": "digits"},
            tmp_path / "results",
            (0,),
            pretended,
            Messages(),
        )


def test_a_failure_leaves_out_what_builds_on_it_and_nothing_else(again, pretended):
    pretended.fail = "convert"
    result = again("made")
    assert result.failed == {
        "made/table1/kmex/digits, seed 0, model": "this does not work",
        "made/table1/kmex/digits, seed 0, measured": "left out, since a run that it needs failed",
    }
    assert "kmex/digits/seed-0/kmex-ensemble" in folders(pretended)
    assert result.left_out == {"made/table1/blackbox/birds": ["birds"]}


def test_without_the_data_the_message_says_how_to_name_it(again):
    with pytest.raises(UserError, match=r"needs birds .*: add --data birds:PATH"):
        again("made/table1/blackbox/birds")


def test_nothing_runs_for_the_table_alone(again, pretended):
    result = again("made/table1/blackbox", run=False)
    assert pretended.calls == []
    assert [outcome.mean for outcome in result.outcomes] == [None]


def budget_of(minutes: float, clock: Any = lambda: 0.0) -> Budget:
    return Budget(minutes, lambda task: Cost(6.0, 40), Messages(), clock)


def test_a_budget_shortens_all_seeds_alike_and_says_so(again, pretended):
    result = again("made/table1/blackbox/digits", seeds=(0, 1), budget=budget_of(4))
    assert [words[words.index("--epochs") + 1] for words in pretended.calls] == ["20", "20"]
    assert result.outcomes[0].epochs == "20 of 40"
    assert "| 20 of 40 |" in markdown(result.outcomes)
    again("made/table1/blackbox/digits", seeds=(2,), budget=budget_of(100))
    assert "20" in pretended.calls[-1], "another seed later has the epochs of the first ones"


def test_a_stopped_run_goes_on_with_the_epochs_it_began_with(again, pretended):
    pretended.stop = "--seed"
    with pytest.raises(Interrupted, match="the same command goes on"):
        again("made/table1/blackbox/digits", budget=budget_of(1))
    pretended.stop = ""
    result = again("made/table1/blackbox/digits")
    assert pretended.calls[1] == [*pretended.calls[0], "--resume"]
    assert result.outcomes[0].epochs == "10 of 40"


def test_what_builds_on_a_shortened_training_says_so(again):
    result = again("made/table1/kmex", budget=budget_of(1))
    assert all(outcome.epochs for outcome in result.outcomes)


def test_a_training_that_fits_is_not_shortened(again, pretended):
    result = again("made/table1/blackbox/digits", budget=budget_of(4.01))
    assert "40" in pretended.calls[0]
    assert result.outcomes[0].epochs == ""


@pytest.mark.parametrize(
    ("figure", "mean", "verdict"),
    [
        (Figure(99.0, 0.2), 98.8, "within ±"),
        (Figure(99.0, 0.2), 98.74, "beyond ±"),
        (Figure(99.0), 98.8, "no ± in the paper"),
        (None, 98.8, ""),
    ],
)
def test_verdicts(figure, mean, verdict):
    outcome = Outcome("a/b/c/d", "", "", "", "d", "accuracy", True, figure, values={0: mean})
    assert outcome.verdict == verdict
    assert json.loads(json.dumps(outcome.to_dict()))["verdict"] == verdict


def test_a_figure_of_other_data_is_shown_without_a_difference():
    outcome = Outcome(
        "", "P", "T", "r", "d", "accuracy", True, Figure(80.0), borrowed="cub", values={0: 70.0}
    )
    assert outcome.difference is None
    assert "| (80, cub) | 70.00 | 0 |  |" in markdown([outcome])
