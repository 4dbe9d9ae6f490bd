"""``resemblance report RUN...``: write one page about one or more runs."""

from __future__ import annotations

from resemblance.api import open_run
from resemblance.cli.console import screen
from resemblance.config.commands import ReportCommand
from resemblance.report.run_pages import report


def run(options: ReportCommand) -> int:
    """Write the page."""
    with screen(False) as out:
        runs = [
            open_run(path, allow_import=options.allow_import, accelerator=options.accelerator)
            for path in dict.fromkeys(options.runs)
        ]
        page = report(
            runs,
            options.output,
            data=options.data,
            title=options.title or "",
            explain=options.explain,
            top=options.top,
            against=options.against,
            maps=options.maps,
            check_maps=options.check_maps,
            seed=options.seed,
            batch_size=options.batch_size,
            workers=options.workers,
            skip_bad_images=options.skip_bad_images,
            labels=options.labels,
            messages=out,
        )
        out.say(f"report: {page}")
    return 0
