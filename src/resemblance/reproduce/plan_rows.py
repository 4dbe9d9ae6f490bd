"""Turn the cells of rows into tasks, with the data that is here and the tasks of other rows that they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resemblance.config.errors import UserError
from resemblance.reproduce.data_at_hand import describe_data
from resemblance.reproduce.experiment import MODEL, REFERENCE, Cell, Row, Step, references
from resemblance.reproduce.named_rows import Chosen
from resemblance.reproduce.task import Task

QUIET: dict[str, dict[str, Any]] = {"train": {"report": False}, "convert": {"report": False}}
READS_ITS_RUNS_DATA = ("evaluate", "audit", "convert")


@dataclass
class Plan:
    """Makes tasks of cells, each once.

    Args:
        rows: all rows by name.
        data: how commands name the data sets that are here.
        folder: for all results.
    """

    rows: Mapping[str, Row]
    data: Mapping[str, str]
    folder: Path
    _made: dict[tuple[str, str, str, int], Task] = field(default_factory=dict)

    def needs(self, chosen: Chosen) -> list[str]:
        """Return the data sets that a cell and the rows that it builds on read, by name."""
        names: dict[str, None] = {}
        self._collect(chosen.row, chosen.cell, names, ())
        return list(names)

    def lacking(self, chosen: Chosen) -> list[str]:
        """Return the data sets that a cell needs and that are not here."""
        return [name for name in self.needs(chosen) if name not in self.data]

    def tasks(self, chosen: Chosen, seed: int) -> dict[str, Task]:
        """Return the tasks of a cell for one seed, by step; those of other rows are in their ``after``.

        Raises:
            UserError: if data is not here, or the row refers to something that does not exist.
        """
        if lacking := self.lacking(chosen):
            words = ", ".join(f"{name} ({describe_data(name)})" for name in lacking)
            raise UserError(f"{chosen.name} needs {words}: add --data {lacking[0]}:PATH")
        return {name: self._task(chosen.row, chosen.cell, name, seed) for name in chosen.row.steps}

    def _task(self, row: Row, cell: Cell, name: str, seed: int) -> Task:
        key = (row.name, cell.name, name, seed)
        if key not in self._made:
            self._made[key] = self._make(row, cell, row.steps[name], seed)
        return self._made[key]

    def _make(self, row: Row, cell: Cell, step: Step, seed: int) -> Task:
        options = {**QUIET.get(step.verb, {}), **step.options, **cell.options.get(step.name, {})}
        after: dict[Path, Task] = {}
        paths: dict[str, list[str]] = {}
        for reference in references(step, options):
            if _is_data(row, reference):
                paths[reference] = [self.data[reference]]
                continue
            other = self._other(row, cell, reference)
            seeds = range(seed * step.members, (seed + 1) * step.members) if step.members > 1 else [seed]
            found = [self._task(*other, each) for each in seeds]
            after |= {task.folder: task for task in found}
            paths[reference] = [str(task.folder) for task in found]
        resolved = {key: self._resolved(value, paths) for key, value in options.items()}
        if step.verb not in READS_ITS_RUNS_DATA:
            resolved = {"data": self.data[cell.data], **resolved}
        if step.members > 1:
            resolved["ensemble"] = True
        subjects = (step.subject,) if step.verb == "train" else self._subjects(step, paths)
        seeded = seed if step.verb in ("train", "convert") else None
        short = row.name.rpartition("/")[2]  # the name of the run, which its pages show
        own = short if step.name == MODEL else f"{short}-{step.name.replace(' ', '-')}"
        folder = self.folder / row.name / cell.name / f"seed-{seed}" / own
        title = f"{row.name}/{cell.name}, seed {seed}, {step.name}"
        return Task(
            title,
            step.verb,
            subjects,
            resolved,
            folder,
            seeded,
            tuple(after.values()),
            self.folder,
            cell.data,
        )

    def _other(self, row: Row, cell: Cell, reference: str) -> tuple[Row, Cell, str]:
        """Return the row, cell and step that a reference in a row means."""
        if reference in row.steps:
            return row, cell, reference
        other = self.rows.get(reference)
        if other is None:
            raise UserError(f"experiment {row.name}: there is no experiment {reference!r}")
        if cell.name not in other.cells or MODEL not in other.steps:
            raise UserError(f"experiment {row.name}: {reference} has no model for the cell {cell.name!r}")
        return other, other.cells[cell.name], MODEL

    def _collect(self, row: Row, cell: Cell, names: dict[str, None], path: Sequence[str]) -> None:
        if row.name in path:
            raise UserError(f"experiment {row.name} builds on itself: {' → '.join([*path, row.name])}")
        names[cell.data] = None
        for step in row.steps.values():
            for reference in references(step, {**step.options, **cell.options.get(step.name, {})}):
                if _is_data(row, reference):
                    names[reference] = None
                elif reference not in row.steps:
                    other, its_cell, _ = self._other(row, cell, reference)
                    self._collect(other, its_cell, names, [*path, row.name])

    def _resolved(self, value: Any, paths: Mapping[str, list[str]]) -> Any:
        if not isinstance(value, str):
            return value
        return REFERENCE.sub(lambda match: paths[match[1]][0], value)

    def _subjects(self, step: Step, paths: Mapping[str, list[str]]) -> tuple[str, ...]:
        whole = REFERENCE.fullmatch(step.subject)
        return tuple(paths[whole[1]]) if whole else (self._resolved(step.subject, paths),)


def _is_data(row: Row, reference: str) -> bool:
    """Check whether a reference means something that ``--data`` names: neither a step nor the path of a row."""
    return reference not in row.steps and "/" not in reference
