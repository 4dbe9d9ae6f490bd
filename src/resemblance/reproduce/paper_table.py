"""Write outcomes as a table for the terminal, as markdown, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resemblance.reproduce.outcome import Outcome
from resemblance.writing import write_text

COLUMNS = ("row", "data", "measure", "paper", "here", "seeds", "difference", "epochs", "minutes")
BEYOND = "!"
LEGEND = (
    "Mean ± standard deviation over the seeds. ! marks a difference beyond the paper's ±; ? marks one where the paper "
    "has no ±. Figures in brackets are of other data, and no difference is shown. Epochs: those trained, of those of "
    "the recipe, where a budget shortened it."
)


def cells(outcome: Outcome) -> list[str]:
    """Return the texts of a row of the table.

    Example:
        >>> from resemblance.reproduce.experiment import Figure
        >>> row = Outcome("", "", "", "KMEx", "mnist", "accuracy", True, Figure(99.4, 0.1), 5, "", {0: 99.2, 1: 99.1})
        >>> cells(row)
        ['KMEx', 'mnist', 'accuracy, %', '99.4 ± 0.1 (5)', '99.15 ± 0.07', '0, 1', '-0.25 !', '', '']
    """
    return [
        outcome.row,
        outcome.data,
        outcome.measure + (", %" if outcome.percent else ""),
        _paper(outcome),
        _ours(outcome),
        ", ".join(map(str, outcome.values)),
        _difference(outcome),
        outcome.epochs,
        "" if outcome.minutes is None else f"{max(outcome.minutes, 0.1):.1f}",
    ]


def markdown(outcomes: Sequence[Outcome]) -> str:
    """Return the tables, one for each table of a paper, with the commands, machines and notes."""
    lines: list[str] = []
    for title, part in by_table(outcomes).items():
        lines += [f"**{title}**", "", _line(COLUMNS), _line(["---"] * len(COLUMNS))]
        lines += [_line(cells(outcome)) for outcome in part]
        lines += ["", *_details(part), ""]
    return "\n".join([*lines, LEGEND, ""])


def by_table(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """Return the outcomes by paper and table, in their order."""
    tables: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        tables.setdefault(f"{outcome.paper}, {outcome.table}", []).append(outcome)
    return tables


def write_tables(outcomes: Sequence[Outcome], text: str, folder: Path) -> list[Path]:
    """Write table.txt, table.md and table.json to a folder, and return their paths.

    Args:
        outcomes: the rows.
        text: what was printed.
        folder: an existing folder.
    """
    document: dict[str, Any] = {"outcomes": [outcome.to_dict() for outcome in outcomes]}
    contents = {
        "table.txt": text + "\n",
        "table.md": markdown(outcomes),
        "table.json": json.dumps(document, indent=2, ensure_ascii=False),
    }
    for name, content in contents.items():
        write_text(folder / name, content)
    return [folder / name for name in contents]


def _details(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the commands of a table's rows, what differs from the paper, and the machines."""
    lines, told = [], set()
    for outcome in outcomes:
        if outcome.name in told or not outcome.values:
            continue
        told.add(outcome.name)
        commands = "; ".join(f"`{command}`" for command in outcome.commands)
        lines.append(f"* `{outcome.name}`: {commands}." + (f" {outcome.notes}" if outcome.notes else ""))
    machines = dict.fromkeys(
        machine for outcome in outcomes for machine in outcome.machines if outcome.values
    )
    if machines:
        lines += ["", f"Machine: {'; '.join(machines)}."]
    return lines


def _paper(outcome: Outcome) -> str:
    if outcome.figure is None:
        return "–"
    if outcome.borrowed:
        return f"({outcome.figure}, {outcome.borrowed})"
    seeds = f" ({outcome.seeds_of_paper})" if outcome.seeds_of_paper else ""
    return f"{outcome.figure}{seeds}"


def _ours(outcome: Outcome) -> str:
    if outcome.mean is None:
        return outcome.problem or "–"
    digits = 2 if outcome.percent else 3
    spread = "" if outcome.spread is None else f" ± {outcome.spread:.{digits}f}"
    return f"{outcome.mean:.{digits}f}{spread}"


def _difference(outcome: Outcome) -> str:
    if outcome.difference is None:
        return ""
    mark = {"beyond ±": f" {BEYOND}", "no ± in the paper": " ?"}.get(outcome.verdict, "")
    return f"{outcome.difference:+.{2 if outcome.percent else 3}f}{mark}"


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"
