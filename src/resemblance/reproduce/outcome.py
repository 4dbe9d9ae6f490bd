"""Read what was measured off the results of tasks, and put it beside the paper's figures."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from resemblance.reproduce.experiment import Figure
from resemblance.reproduce.named_rows import Chosen
from resemblance.reproduce.task import Record, Task


@dataclass(frozen=True)
class Outcome:
    """One measure of a cell: the paper's figure and ours.

    Args:
        name: of the cell.
        paper: the paper.
        table: its table.
        row: the row's title.
        data: the data set, or the name of the cell.
        measure: the name of the measure.
        percent: whether figures are in per cent.
        figure: the paper's; None if it has none.
        seeds_of_paper: the number of its runs, if it says it.
        borrowed: the data set of the paper's figure, if it is another one.
        values: ours by seed, in the paper's unit.
        epochs: of the trainings, as they were shortened: "60 of 1500"; empty if they were not.
        minutes: the mean over the seeds of all that was run for the cell alone.
        machines: on which it was run.
        commands: of the first seed.
        notes: how it differs from what the paper did.
        problem: why there is no value; empty if there is one.
    """

    name: str
    paper: str
    table: str
    row: str
    data: str
    measure: str
    percent: bool
    figure: Figure | None
    seeds_of_paper: int | None = None
    borrowed: str = ""
    values: Mapping[int, float] = field(default_factory=dict)
    epochs: str = ""
    minutes: float | None = None
    machines: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    notes: str = ""
    problem: str = ""

    @property
    def mean(self) -> float | None:
        """Our mean over the seeds."""
        return statistics.fmean(self.values.values()) if self.values else None

    @property
    def spread(self) -> float | None:
        """Our standard deviation over the seeds; None for fewer than two."""
        return statistics.stdev(self.values.values()) if len(self.values) > 1 else None

    @property
    def difference(self) -> float | None:
        """Our mean minus the paper's; None if one of them is missing or the paper's is of other data."""
        if self.mean is None or self.figure is None or self.borrowed:
            return None
        return self.mean - self.figure.mean

    @property
    def verdict(self) -> str:
        """Say whether the difference is within the paper's ±."""
        if self.difference is None:
            return ""
        assert self.figure is not None
        if self.figure.spread is None:
            return "no ± in the paper"
        # The paper's figures are rounded: half a unit of their last digit is no difference.
        slack = 0.05 if self.percent else 0.0005
        return "within ±" if abs(self.difference) <= self.figure.spread + slack else "beyond ±"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        values = {**self.__dict__, "mean": self.mean, "spread": self.spread}
        values |= {"difference": self.difference, "verdict": self.verdict}
        values["figure"] = None if self.figure is None else self.figure.__dict__
        values["values"] = {str(seed): value for seed, value in self.values.items()}
        return values


def outcomes(chosen: Chosen, tasks: Mapping[int, Mapping[str, Task]]) -> list[Outcome]:
    """Return the measures of a cell.

    Args:
        chosen: the cell.
        tasks: seed → step → task.
    """
    row, cell = chosen.row, chosen.cell
    records = {seed: _records(list(steps.values())) for seed, steps in tasks.items()}
    shortened = dict.fromkeys(
        f"{record.epochs} of {record.of_epochs}"
        for steps in tasks.values()
        for record in _with_others(list(steps.values()))
        if record.of_epochs is not None
    )
    found = [seed for seed in tasks if records[seed]]
    seconds = [sum(record.seconds for record in records[seed]) for seed in found]
    borrowed = cell.beside and row.cells[cell.beside].data != cell.data
    results = []
    for name, measure in row.measures.items():
        figure = row.figure(cell, name)
        values = {}
        for seed, steps in tasks.items():
            value = None if measure.value is None else _value(measure.value, steps[measure.step])
            if value is not None:
                values[seed] = 100 * value if measure.percent else value
        if figure is None and not values:
            continue
        results.append(
            Outcome(
                chosen.name,
                row.source,
                row.table,
                row.title,
                cell.name,
                name,
                measure.percent,
                figure,
                row.seeds,
                row.cells[cell.beside].data if borrowed else "",
                values,
                ", ".join(shortened),
                statistics.fmean(seconds) / 60 if seconds else None,
                tuple(dict.fromkeys(record.machine for seed in found for record in records[seed])),
                tuple(record.command for record in records[found[0]]) if found else (),
                " ".join(note for note in (row.notes, cell.notes) if note),
                "not measured by this library" if measure.value is None else "",
            )
        )
    return results


def _records(tasks: Sequence[Task]) -> list[Record]:
    found = [task.read_record() for task in tasks]
    return [record for record in found if record is not None]


def _with_others(tasks: Sequence[Task]) -> list[Record]:
    """Return the records of tasks and of those of other rows on which they build."""
    return _records(tasks) + [record for task in tasks for record in _with_others(task.after) if task.after]


def _value(name: str, task: Task) -> float | None:
    """Return a value of a task's result; None if it is not finished or has no such value."""
    result = task.read_result()
    return None if result is None else find_value(result, name)


def find_value(result: Mapping[str, Any], name: str) -> float | None:
    """Return a number of a result: of a measure or finding by its name, else by names joined with dots.

    Example:
        >>> find_value({"test": {"accuracy": 0.9}}, "test.accuracy"), find_value({}, "test.accuracy")
        (0.9, None)
        >>> find_value({"measures": {"a": {"values": [{"name": "ghosting", "value": 0.1}]}}}, "ghosting")
        0.1
    """
    measures = result.get("measures", {})
    parts = [*(measures.values() if isinstance(measures, Mapping) else ()), *result.get("findings", ())]
    for part in parts:
        for value in part["values"]:
            if value["name"] == name:
                return None if value["value"] is None else float(value["value"])
    entry: Any = result
    for key in name.split("."):
        if not isinstance(entry, Mapping) or key not in entry:
            return None
        entry = entry[key]
    return float(entry) if isinstance(entry, int | float) and not isinstance(entry, bool) else None
