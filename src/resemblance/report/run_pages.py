"""One page of one or more runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from resemblance.config.errors import UserError
from resemblance.data.sources.source import DataSplits
from resemblance.report.from_run import run_report
from resemblance.report.page import write_report
from resemblance.runs.messages import Messages
from resemblance.runs.run import RunRecord

PAGE = "report.html"


def write_run_report(
    runs: Sequence[RunRecord],
    output: Path | None,
    *,
    data: str | DataSplits | None = None,
    title: str = "",
    explain: int = 8,
    top: int = 5,
    seed: int = 0,
    batch_size: int = 128,
    workers: int = 0,
    skip_bad_images: bool = False,
    messages: Messages | None = None,
) -> Path:
    """Write one page of one or more runs, side by side, and return its path.

    Args:
        runs: with their models.
        output: the page, or a folder for it; None: ``report.html`` in the first run's folder.
        data: other images of the same classes than the runs were made with.
        title: the page's heading; by default the runs' names.
        explain: how many images to explain of each run, wrong answers first.
        top: how many reasons to show of each.
        seed: which images are explained follows from it.
        batch_size: images per batch.
        workers: loader processes.
        skip_bad_images: leave out unreadable images instead of stopping.
        messages: hears of runs whose images are not at hand; their pages explain no images.

    Raises:
        UserError: if the page cannot be written there, or the images of ``data`` do not fit.
    """
    path = runs[0].place(output, PAGE)
    if path.suffix not in (".html", ".htm"):
        raise UserError(f"{path}: the page is a file that ends in .html")
    pages = [
        run_report(
            run,
            _images(run, data, skip_bad_images, messages or Messages()),
            explain=explain,
            top=top,
            seed=seed,
            batch_size=batch_size,
            workers=workers,
        )
        for run in runs
    ]
    return write_report(path, pages, title)


def _images(
    run: RunRecord, data: str | DataSplits | None, skip_bad_images: bool, messages: Messages
) -> DataSplits | None:
    """Open the run's images; a run that was carried here without them has a report all the same."""
    try:
        return run.images(data, skip_bad_images)
    except UserError as error:
        if data is not None:
            raise
        messages.warn(f"{error}; the report explains no images")
        return None
