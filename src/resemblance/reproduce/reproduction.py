"""Reproduce rows: plan their tasks, run them, and return what was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from resemblance.config.errors import UserError
from resemblance.reproduce.budget import Budget
from resemblance.reproduce.data_at_hand import describe_data
from resemblance.reproduce.experiment import Row
from resemblance.reproduce.named_rows import Chosen
from resemblance.reproduce.outcome import Outcome, outcomes
from resemblance.reproduce.plan_rows import Plan
from resemblance.reproduce.run_tasks import Command, in_order, run_tasks
from resemblance.reproduce.task import Task
from resemblance.runs.messages import Messages


@dataclass(frozen=True)
class Reproduction:
    """What was reproduced.

    Args:
        outcomes: one for each measure of each cell.
        failed: the errors of the runs that failed, by name.
        left_out: the cells whose data is not here, with the names of the data.
    """

    outcomes: list[Outcome]
    failed: dict[str, str]
    left_out: dict[str, list[str]]


def reproduce(
    rows: dict[str, Row],
    chosen: Sequence[Chosen],
    data: dict[str, str],
    folder: Path,
    seeds: Sequence[int],
    command: Command,
    messages: Messages,
    *,
    budget: Callable[[], Budget] | None = None,
    run: bool = True,
) -> Reproduction:
    """Run cells that are not finished, and put what was measured beside the paper's figures.

    Args:
        rows: all rows by name.
        chosen: the cells.
        data: how commands name the data sets that are here.
        folder: for all results.
        seeds: of the runs.
        command: runs a command.
        messages: receives the lines about the progress.
        budget: starts a budget of time.
        run: whether to run what is not finished; otherwise only what is there is read.

    Raises:
        UserError: if a cell refers to something that does not exist, a folder holds a run with other options, or
            the data of no cell is here.
    """
    plan = Plan(rows, data, folder)
    left_out = {one.name: lacking for one in chosen if (lacking := plan.lacking(one))}
    here = [one for one in chosen if one.name not in left_out]
    if not here:
        name, lacking = next(iter(left_out.items()))
        words = ", ".join(f"{one} ({describe_data(one)})" for one in lacking)
        raise UserError(f"{name} needs {words}: add --data {lacking[0]}:PATH")
    tasks: dict[str, dict[int, dict[str, Task]]] = {
        one.name: {seed: plan.tasks(one, seed) for seed in seeds} for one in here
    }
    failed: dict[str, str] = {}
    if run:
        todo = [task for per_seed in tasks.values() for steps in per_seed.values() for task in steps.values()]
        failed = run_tasks(in_order(todo), command, messages, None if budget is None else budget())
    results = [outcome for one in here for outcome in outcomes(one, tasks[one.name])]
    return Reproduction(results, failed, left_out)
