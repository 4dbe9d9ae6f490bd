"""Measure runs by all that ``resemblance evaluate --metrics`` names, and print the table."""

from __future__ import annotations

import os
from pathlib import Path

from resemblance.api import open_run
from resemblance.cli.console import Screen
from resemblance.config.commands import EvaluateCommand
from resemblance.config.errors import UserError
from resemblance.finished_run import Run
from resemblance.metrics.suite.aggregate import MeasuredRun
from resemblance.metrics.suite.table import result_table
from resemblance.report.evaluation.outputs import write_evaluation
from resemblance.runs.claims import claim_lines
from resemblance.runs.evaluated_runs import evaluate_runs, finish_evaluation
from resemblance.runs.folders import EVALUATION, check_writable, make_folder
from resemblance.runs.opening import dividing_work


def run_measures(options: EvaluateCommand, out: Screen) -> int:
    """Measure the runs, print the results, and write them to a folder."""
    folder = _folder(options)
    check_writable(folder)
    runs = [_open(path, options) for path in options.runs]
    black_box = None if options.blackbox is None else _open(options.blackbox, options)
    folder = make_folder(folder)
    with dividing_work(runs, "auto", options.devices):
        evaluation = evaluate_runs(
            runs,
            options.data,
            options,
            black_box=black_box,
            split=options.split,
            batch_size=options.batch_size,
            workers=options.workers,
            skip_bad_images=options.skip_bad_images,
            labels=options.labels,
            folder=folder,
            progress=True,
            messages=out,
        )
    first = evaluation.measured[0]
    images = first.result.evaluation.images
    kinds = dict.fromkeys(run.result.kind for run in evaluation.measured)
    out.say(f"{images} {first.split} images of {first.data}; maps: {', '.join(kinds)}")
    out.say()
    header, rows = result_table(evaluation.groups)
    out.table(header, rows)
    out.say("↑ larger is better, ↓ smaller is better; in brackets: what a trivial answer gives")
    for evaluated in evaluation.runs:
        for line in claim_lines(evaluated.claims):
            out.say(f"{evaluated.measured.name}: {line}")
        _say_left_out(evaluated.measured, out)
    for path in write_evaluation(evaluation, folder, options.maps_figure):
        out.say(f"{path.suffix[1:]}: {path}")
    finish_evaluation(evaluation, folder)
    out.result(evaluation.to_dict())
    return 0


def _folder(options: EvaluateCommand) -> Path:
    """Return the folder of the results: the user's, else one in the first run folder, else in the current one."""
    if options.output is not None:
        output = options.output.expanduser()
        if output.suffix and not output.is_dir():
            raise UserError(
                f"--output {output}: with --metrics, a folder is expected, for tables, figures and a page"
            )
        return output
    first = Path(options.runs[0]).expanduser()
    return Path(os.path.abspath(first)) / EVALUATION if first.is_dir() else Path(EVALUATION)


def _open(path: str, options: EvaluateCommand) -> Run:
    return open_run(path, allow_import=options.allow_import, accelerator=options.accelerator)


def _say_left_out(run: MeasuredRun, out: Screen) -> None:
    reasons: dict[str, list[str]] = {}
    for one in run.result.left_out:
        reasons.setdefault(one.reason, []).append(one.measure)
    for reason, measures in reasons.items():
        be = "is" if len(measures) == 1 else "are"
        out.say(f"{run.name}: {', '.join(measures)} {be} left out: {reason}")
    for result in run.result.results:
        for value in result.values:
            for reason, number in value.left_out.items():
                if number:
                    out.say(f"{run.name}: {value.title} leaves out {number} {reason}")
