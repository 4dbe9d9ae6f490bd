"""A row of a paper's table as data: what is run, what is measured, and the paper's figures; one YAML file per row."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resemblance.config.errors import UserError
from resemblance.config.files.options_file import read_options
from resemblance.config.files.typed import make, typed

VERBS = ("train", "convert", "evaluate", "audit")
REFERENCE = re.compile(r"\{([^{}]+)\}")  # {step}, {paper/table/row}, or {name} as in --data name:PATH
MODEL = "model"  # the step of another row to which {paper/table/row} refers


@dataclass(frozen=True)
class Step:
    """One command of a row.

    Args:
        name: its name in the row.
        verb: train, convert, evaluate or audit.
        subject: the method to train, else a reference to the run that the command reads.
        options: the command's options by name; texts can contain references.
        members: runs of ``subject`` that are put together as an ensemble; 1 for none.
    """

    name: str
    verb: str
    subject: str
    options: Mapping[str, Any] = field(default_factory=dict)
    members: int = 1


@dataclass(frozen=True)
class Measure:
    """A quantity of which the paper has figures.

    Args:
        step: the step in whose result it is.
        value: where it is in the result: names joined by dots, or the name of a measure; None if nothing measures it.
        percent: whether the result is a fraction of what the paper gives in per cent.
    """

    step: str = MODEL
    value: str | None = None
    percent: bool = False


@dataclass(frozen=True)
class Figure:
    """The paper's figure: mean, and its ± if the paper has one."""

    mean: float
    spread: float | None = None

    def __str__(self) -> str:
        return f"{self.mean:g}" if self.spread is None else f"{self.mean:g} ± {self.spread:g}"


@dataclass(frozen=True)
class Cell:
    """A row on one data set.

    Args:
        name: its name in the row.
        data: the name of the data set.
        options: options that this cell adds to those of the steps, by step.
        paper: the paper's figures by measure.
        beside: the cell whose figures are shown for comparison, if the paper has none for this one.
        notes: how this differs from what the paper did.
    """

    name: str
    data: str
    options: Mapping[str, Mapping[str, Any]]
    paper: Mapping[str, Figure]
    beside: str = ""
    notes: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a paper's table.

    Args:
        name: ``paper/table/row``, from the place of its file.
        source: the paper.
        table: the table's name in the paper.
        title: the row's name in the table.
        seeds: the number of runs of the paper; None if it does not say.
        spread: what the paper's ± is.
        steps: in the order in which they run.
        measures: by name.
        cells: by name.
        notes: how all cells differ from what the paper did.
    """

    name: str
    source: str
    table: str
    title: str
    seeds: int | None
    spread: str
    steps: Mapping[str, Step]
    measures: Mapping[str, Measure]
    cells: Mapping[str, Cell]
    notes: str = ""

    @property
    def data_names(self) -> list[str]:
        """What its cells read, by the names of ``--data``."""
        names = [cell.data for cell in self.cells.values()]
        for step in self.steps.values():
            for cell in self.cells.values():
                found = references(step, {**step.options, **cell.options.get(step.name, {})})
                names += [name for name in found if name not in self.steps and "/" not in name]
        return list(dict.fromkeys(names))

    def figure(self, cell: Cell, measure: str) -> Figure | None:
        """Return the paper's figure for a cell, or that of the cell beside which it stands."""
        shown = self.cells[cell.beside] if cell.beside else cell
        return shown.paper.get(measure)


_ROW = {
    "source": str,
    "table": str,
    "row": str,
    "seeds": int | None,
    "spread": str,
    "steps": dict[str, Any],
    "measures": dict[str, Any],
    "cells": dict[str, Any],
    "notes": str,
}
_STEP = {"options": dict[str, Any], "members": int, **dict.fromkeys(VERBS, str)}
_CELL = {
    "data": str,
    "options": dict[str, Any],
    "paper": dict[str, Any],
    "beside": str,
    "same": str,
    "notes": str,
}


def read_row(path: Path, name: str) -> Row:
    """Read the file of a row.

    Args:
        path: the file.
        name: the name of the row.

    Raises:
        UserError: naming the file and the entry, if it is not the description of a row.
    """
    place = f"experiment {name}"
    values = _entries(read_options(path, example="table: Table 3"), _ROW, place)
    for entry in ("source", "table", "row", "steps", "cells"):
        if not values.get(entry):
            raise UserError(f"{place}: {entry!r} is missing")
    steps = {key: _step(key, value, f"{place}, step {key}") for key, value in values["steps"].items()}
    measures = {
        key: make(Measure, value, f"{place}, measure {key}")
        for key, value in values.get("measures", {}).items()
    }
    for key, measure in measures.items():
        if measure.value is not None and measure.step not in steps:
            raise UserError(f"{place}, measure {key}: there is no step {measure.step!r}")
    cells: dict[str, Cell] = {}
    for key, value in values["cells"].items():
        cells[key] = _cell(key, value or {}, measures, steps, cells, f"{place}, cell {key}")
    return Row(
        name,
        values["source"],
        values["table"],
        values["row"],
        values.get("seeds"),
        values.get("spread", "standard deviation"),
        steps,
        measures,
        cells,
        values.get("notes", ""),
    )


def references(step: Step, options: Mapping[str, Any]) -> list[str]:
    """Return the names in braces in a step's subject and options.

    Example:
        >>> references(Step("kmex", "convert", "{blackbox}"), {"weights": "{data of mine}/x.pth", "subset": 3})
        ['blackbox', 'data of mine']
    """
    texts = [step.subject, *(str(value) for value in options.values())]
    return [name for text in texts for name in REFERENCE.findall(text)]


def _entries(values: Any, kinds: Mapping[str, Any], place: str) -> dict[str, Any]:
    entries = typed(values, kinds, place)
    for key in entries:
        if key not in kinds:
            raise UserError(f"{place} has no entry {key!r}; it has {', '.join(kinds)}")
    return entries


def _step(name: str, value: Any, place: str) -> Step:
    entries = _entries(value, _STEP, place)
    verbs = [verb for verb in VERBS if verb in entries]
    if len(verbs) != 1:
        raise UserError(f"{place}: expected one of {', '.join(VERBS)}")
    options = {key.replace("-", "_"): option for key, option in entries.get("options", {}).items()}
    return Step(name, verbs[0], entries[verbs[0]], options, entries.get("members", 1))


def _cell(
    name: str,
    value: Any,
    measures: Mapping[str, Measure],
    steps: Mapping[str, Step],
    before: Mapping[str, Cell],
    place: str,
) -> Cell:
    """Make a cell; ``same`` takes the figures of an earlier cell, ``beside`` only shows them."""
    entries = _entries(value, _CELL, place)
    for key in ("same", "beside"):
        if entries.get(key, "") and entries[key] not in before:
            raise UserError(f"{place}: {key}: there is no cell {entries[key]!r} before it")
    paper = {} if not entries.get("same") else dict(before[entries["same"]].paper)
    for measure, figure in entries.get("paper", {}).items():
        if measure not in measures:
            raise UserError(f"{place}: there is no measure {measure!r}")
        paper[measure] = _figure(figure, f"{place}: {measure}")
    options = {
        step: {key.replace("-", "_"): option for key, option in added.items()}
        for step, added in entries.get("options", {}).items()
    }
    for step in options:
        if step not in steps:
            raise UserError(f"{place}: options: there is no step {step!r}")
    data = entries.get("data", name)
    return Cell(name, data, options, paper, entries.get("beside", ""), entries.get("notes", ""))


def _figure(value: Any, place: str) -> Figure:
    numbers = value if isinstance(value, list) else [value]
    if not 1 <= len(numbers) <= 2 or not all(
        isinstance(number, int | float) and not isinstance(number, bool) for number in numbers
    ):
        raise UserError(f"{place}: expected the mean, or [mean, ±], not {value!r}")
    return Figure(*map(float, numbers))
