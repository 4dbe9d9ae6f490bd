"""``resemblance reproduce NAME...``: repeat the experiments of the papers, and list them without a name."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from resemblance.cli.console import Screen, screen
from resemblance.cli.main import dispatch
from resemblance.config.errors import UserError
from resemblance.config.experiments.reproduce_command import ReproduceCommand
from resemblance.reproduce.budget import Budget
from resemblance.reproduce.data_at_hand import data_at_hand, describe_data
from resemblance.reproduce.experiment import Row
from resemblance.reproduce.named_rows import Chosen, choose, read_rows
from resemblance.reproduce.outcome import Outcome
from resemblance.reproduce.paper_table import COLUMNS, LEGEND, by_table, cells, write_tables
from resemblance.reproduce.plan_rows import Plan
from resemblance.reproduce.reproduction import Reproduction, reproduce
from resemblance.runs.folders import make_folder


def run(options: ReproduceCommand) -> int:
    """List the experiments, or repeat those that are named."""
    with screen(options.json) as out:
        rows = read_rows(options.experiments)
        if not options.names:
            _list(rows, data_at_hand(options.data), out)
            return 0
        chosen = choose(rows, options.names)
        names = [name for row in rows.values() for name in row.data_names]
        folder = options.output.expanduser().resolve()
        result = reproduce(
            rows,
            chosen,
            data_at_hand(options.data, names),
            folder,
            checked_seeds(options.seeds),
            dispatch,
            out,
            budget=None if options.budget is None else partial(start_budget, options.budget, out),
            run=not options.table_only,
        )
        _show(result, make_folder(folder), out)
        if result.failed:
            count = len(result.failed)
            raise UserError(
                f"{count} run{'s' if count > 1 else ''} failed, the first with: {next(iter(result.failed.values()))}"
            )
    return 0


def start_budget(minutes: float, out: Screen) -> Budget:
    """Start a budget of minutes that measures the time of epochs."""
    from resemblance.reproduce.epoch_time import measure_epoch

    return Budget(minutes, measure_epoch, out)


def checked_seeds(seeds: tuple[int, ...]) -> list[int]:
    """Return seeds that are different whole numbers.

    Raises:
        UserError: if they are not.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise UserError("--seeds: expected different whole numbers from 0, such as 0,1,2")
    return list(seeds)


def _list(rows: dict[str, Row], here: dict[str, str], out: Screen) -> None:
    """Print each table with its rows, the data that their cells need, and which of these are here."""
    plan = Plan(rows, here, Path())
    entries, table = [], ""
    for row in rows.values():
        if table != (table := f"{row.source}, {row.table}"):
            out.say()
            out.say(f"{table}  ({row.name.rpartition('/')[0]})")
        out.say(f"  {row.name}: {row.title}")
        for cell in row.cells.values():
            chosen = Chosen(row, cell)
            needs, lacking = plan.needs(chosen), plan.lacking(chosen)
            state = f"needs {', '.join(map(describe_data, lacking))}" if lacking else "data at hand"
            paper = ", ".join(f"{name} {figure}" for name, figure in cell.paper.items())
            out.say(f"    {cell.name:<16}{state}{f'; the paper: {paper}' if paper else ''}")
            entries.append({"name": chosen.name, "table": table, "needs": needs, "lacking": lacking})
    out.say()
    out.say(f"data at hand: {', '.join(here)}; more with --data NAME:PATH")
    out.result(entries)


def _show(result: Reproduction, folder: Path, out: Screen) -> None:
    """Print the tables, and write them."""
    lines: list[str] = []
    for title, part in by_table(result.outcomes).items():
        out.say()
        out.say(title)
        out.table(COLUMNS, [cells(outcome) for outcome in part])
        lines += [title, *_aligned([list(COLUMNS), *(cells(outcome) for outcome in part)]), ""]
    out.say()
    out.say(LEGEND)
    for name, lacking in result.left_out.items():
        out.say(f"left out: {name}, which needs {', '.join(map(describe_data, lacking))}")
    for name, problem in result.failed.items():
        out.warn(f"failed: {name}: {problem}")
    for path in write_tables(result.outcomes, "\n".join([*lines, LEGEND]), folder):
        out.say(f"{path.suffix[1:]}: {path}")
    out.result(_document(result))


def _document(result: Reproduction) -> dict[str, object]:
    outcomes: list[Outcome] = result.outcomes
    return {
        "outcomes": [outcome.to_dict() for outcome in outcomes],
        "failed": result.failed,
        "left_out": result.left_out,
    }


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
