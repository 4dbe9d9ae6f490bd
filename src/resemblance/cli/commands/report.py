"""``resemblance report RUN...``: one page of one or more runs."""

from __future__ import annotations

from pathlib import Path

from resemblance.cli.console import Screen, screen
from resemblance.config.commands import ReportCommand
from resemblance.config.errors import UserError
from resemblance.data.sources.source import DataSplits
from resemblance.report.from_run import run_report
from resemblance.runs.run import Run, open_run


def run(options: ReportCommand) -> int:
    """Write the page."""
    with screen(False) as out:
        out.say(f"report: {report(options, out)}")
    return 0


def report(options: ReportCommand, out: Screen) -> Path:
    """Write a page of runs side by side and return its path."""
    from resemblance.report.page import write_report

    runs = [open_run(path, options.allow_import, options.accelerator) for path in dict.fromkeys(options.runs)]
    path = runs[0].place(options.output, "report.html")
    if path.suffix not in (".html", ".htm"):
        raise UserError(f"{path}: the page is a file that ends in .html")
    pages = [
        run_report(
            run,
            _images(run, options, out),
            explain=options.explain,
            top=options.top,
            seed=options.seed,
            batch_size=options.batch_size,
            workers=options.workers,
        )
        for run in runs
    ]
    return write_report(path, pages, options.title or "")


def _images(run: Run, options: ReportCommand, out: Screen) -> DataSplits | None:
    """The run's images; a run that was carried here without them has a report all the same."""
    try:
        return run.images(options.data, options.skip_bad_images)
    except UserError as error:
        if options.data:
            raise
        out.warn(f"{error}; the report explains no images")
        return None
