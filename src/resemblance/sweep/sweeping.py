"""Run a sweep, and collect what was measured."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resemblance.reproduce.budget import Budget
from resemblance.reproduce.outcome import find_value
from resemblance.reproduce.run_tasks import Command, run_tasks
from resemblance.reproduce.task import Task
from resemblance.runs.messages import Messages
from resemblance.sweep.option_grid import combinations, folder_of

MEASURES = {"validation": "val.accuracy", "test": "test.accuracy"}


@dataclass(frozen=True)
class SweepPoint:
    """One combination.

    Args:
        values: of the options that are varied.
        accuracies: ``validation`` and ``test`` → accuracy by seed, as fractions.
        epochs: those that a budget left: "3 of 20"; empty if all.
        minutes: the mean over the seeds.
        machine: on which the last one ran.
    """

    values: Mapping[str, str]
    accuracies: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    epochs: str = ""
    minutes: float | None = None
    machine: str = ""

    def mean(self, split: str) -> float | None:
        """The mean accuracy over the seeds; None if there is none."""
        values = list(self.accuracies.get(split, {}).values())
        return statistics.fmean(values) if values else None

    def spread(self, split: str) -> float | None:
        """The standard deviation over the seeds; None for fewer than two."""
        values = list(self.accuracies.get(split, {}).values())
        return statistics.stdev(values) if len(values) > 1 else None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        entries: dict[str, Any] = json.loads(json.dumps({**self.__dict__, "values": dict(self.values)}))
        for split in MEASURES:
            entries[split] = {"mean": self.mean(split), "spread": self.spread(split)}
        return entries


def sweep_tasks(
    verb: str,
    subject: str,
    options: Mapping[str, Any],
    grid: Mapping[str, Sequence[str]],
    seeds: Sequence[int],
    folder: Path,
) -> list[list[Task]]:
    """Return the tasks of all combinations, for each one per seed.

    Args:
        verb: train or convert.
        subject: the method, or what is converted.
        options: those that all have in common.
        grid: the values of the options that are varied.
        seeds: of each combination.
        folder: for all results.

    Raises:
        UserError: if there are too many.
    """
    points = combinations(grid)
    return [[_task(verb, subject, options, point, seed, folder) for seed in seeds] for point in points]


def sweep(
    grid: Mapping[str, Sequence[str]],
    tasks: Sequence[Sequence[Task]],
    command: Command,
    messages: Messages,
    budget: Budget | None = None,
) -> tuple[list[SweepPoint], dict[str, str]]:
    """Run all tasks that are not finished, and return the points and the errors of those that failed.

    Args:
        grid: the values of the options that are varied.
        tasks: as `sweep_tasks` returns them.
        command: runs a command.
        messages: receives the lines about the progress.
        budget: shortens trainings; None to train all epochs.

    Raises:
        UserError: if a folder holds a run with other options.
    """
    failed = run_tasks([task for row in tasks for task in row], command, messages, budget)
    return [_point(point, row) for point, row in zip(combinations(grid), tasks, strict=True)], failed


def _task(
    verb: str, subject: str, options: Mapping[str, Any], point: Mapping[str, str], seed: int, folder: Path
) -> Task:
    name = folder_of(point)
    own = {**options, "report": False, **{key: _typed(value) for key, value in point.items()}}
    title = f"{', '.join(f'{key} {value}' for key, value in point.items())}, seed {seed}"
    return Task(title, verb, (subject,), own, folder / name / f"seed-{seed}" / name, seed, root=folder)


def _typed(text: str) -> Any:
    """Return the text of a switch as a switch; other texts stay."""
    return {"true": True, "false": False}.get(text, text)


def _point(values: Mapping[str, str], tasks: Sequence[Task]) -> SweepPoint:
    accuracies: dict[str, dict[int, float]] = {split: {} for split in MEASURES}
    records = []
    for task in tasks:
        result, record = task.read_result(), task.read_record()
        if result is None or record is None:
            continue
        records.append(record)
        for split, name in MEASURES.items():
            if (value := find_value(result, name)) is not None and task.seed is not None:
                accuracies[split][task.seed] = value
    shortened = dict.fromkeys(f"{r.epochs} of {r.of_epochs}" for r in records if r.of_epochs is not None)
    minutes = statistics.fmean(record.seconds for record in records) / 60 if records else None
    return SweepPoint(
        values, accuracies, ", ".join(shortened), minutes, records[-1].machine if records else ""
    )
