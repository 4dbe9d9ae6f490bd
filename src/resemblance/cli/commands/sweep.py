"""``resemblance sweep METHOD --over OPTION=A,B``: repeat a training or a conversion for all combinations of options."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from resemblance.cli.commands.reproduce import checked_seeds, start_budget
from resemblance.cli.console import screen
from resemblance.cli.main import dispatch
from resemblance.cli.sweep_arguments import CONVERT, check_words, options_that_vary
from resemblance.config.errors import UserError
from resemblance.config.experiments.sweep_command import SweepCommand
from resemblance.config.files.named_files import check_data_exists
from resemblance.printing.places import without_places
from resemblance.reproduce.task import option_words
from resemblance.runs.config_file import absolute
from resemblance.runs.folders import make_folder
from resemblance.sweep.option_grid import read_grid
from resemblance.sweep.sweep_results import sweep_table, write_sweep
from resemblance.sweep.sweeping import sweep, sweep_tasks


def run(options: SweepCommand) -> int:
    """Check all combinations, run those that are not finished, and write the table and the plot."""
    with screen(options.json) as out:
        converts = options.verb == CONVERT
        grid = read_grid(options.over, options_that_vary(CONVERT if converts else options.subject))
        seeds = checked_seeds(options.seeds)
        common = dict(options.common)
        if data := common.get("data"):
            check_data_exists(data)
            common["data"] = absolute(data)
        name = options.subject.rstrip("/").rpartition("/")[2] if converts else options.subject
        default = Path("sweeps") / f"{'kmex-' if converts else ''}{name}"
        folder = (options.output or default).expanduser().resolve()
        tasks = sweep_tasks(options.verb, options.subject, common, grid, seeds, folder)
        for row in tasks:
            check_words(row[0].words())
        budget = None if options.budget is None else start_budget(options.budget, out)
        points, failed = sweep(grid, tasks, dispatch, out, budget)
        out.say()
        out.table(*sweep_table(points))
        for problem_of, problem in failed.items():
            out.warn(f"failed: {problem_of}: {problem}")
        for path in write_sweep(points, grid, _title(options, common), make_folder(folder)):
            out.say(f"{path.suffix[1:]}: {path}")
        out.result({"points": [point.to_dict() for point in points], "failed": failed})
        if failed:
            raise UserError(f"{len(failed)} runs failed, the first with: {next(iter(failed.values()))}")
    return 0


def _title(options: SweepCommand, common: dict[str, Any]) -> str:
    """Return the command as it can be typed, without the places of files."""
    words = ["resemblance", "sweep", *([CONVERT] if options.verb == CONVERT else []), options.subject]
    for name, value in common.items():
        words += option_words(name, value)
    for word in options.over:
        words += ["--over", word]
    words += ["--seeds", ",".join(map(str, options.seeds))]
    return " ".join(shlex.quote(str(without_places(word))) for word in words)
