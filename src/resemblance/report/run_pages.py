"""Write one page about one or more runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from resemblance.config.errors import UserError
from resemblance.config.runs import ConvertOptions, TrainOptions
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.sources.source import DataSplits
from resemblance.report.audit.audit_summary import audit_summary
from resemblance.report.beside import fill_in_black_box, shared_wrong
from resemblance.report.chosen_images import known_wrong
from resemblance.report.from_run import read_confusions, run_report
from resemblance.report.links import evaluation_link
from resemblance.report.page import write_report
from resemblance.runs.folders import PAGE
from resemblance.runs.messages import Messages
from resemblance.runs.opening import Openable, as_runs, computing_on
from resemblance.runs.run import RunRecord, choose_split
from resemblance.training.devices.torchrun import together
from resemblance.training.engine.interrupts import resumable


@together
def report(
    runs: Openable | Sequence[Openable],
    output: Path | str | None = None,
    *,
    data: str | DataSplits | None = None,
    title: str = "",
    explain: int = 8,
    top: int = 5,
    against: int | str = "auto",
    maps: str = "auto",
    check_maps: bool = True,
    seed: int = 0,
    batch_size: int = 128,
    workers: int = 0,
    skip_bad_images: bool = False,
    labels: str | None = None,
    messages: Messages | None = None,
) -> Path:
    """Write one HTML page about one or more runs, side by side, and return its path.

    Args:
        runs: a run, its folder, or a model; or a list of these.
        output: the page, or a folder for it; by default ``report.html`` in the first run's folder.
        data: other images of the same classes; by default those that the runs were made with. A model alone needs them.
        title: the page's heading; by default it has the runs' names.
        explain: the number of images to explain per run, misclassified ones first.
        top: the number of reasons per image.
        against: what scores are compared with, as for `explain`.
        maps: the map of each reason, as for `explain`; the default where a run has none of this kind.
        check_maps: whether to check maps by deletion.
        seed: the seed of the choice of images.
        batch_size: images per batch; it does not change the results.
        workers: the number of processes that read images.
        skip_bad_images: whether to leave out image files that cannot be read instead of stopping.
        labels: a table of the classes of images without class folders; see `open_data`.
        messages: receives a warning for each run whose images are not available, of which no image is explained, for
            each of several runs whose measurements cannot be read, and for each damaged snapshot.

    Raises:
        UserError: if a run cannot be opened, the page cannot be written there, or the images of ``data`` do not fit.

    Example:
        >>> report(["runs/kmex", "runs/protopnet"], "compare.html")  # doctest: +SKIP
    """
    messages = messages or Messages()
    opened = as_runs(runs, "auto")
    path = opened[0].output_path(None if output is None else Path(output).expanduser(), PAGE)
    if path.suffix not in (".html", ".htm"):
        raise UserError(f"{path}: the name of the page must end in .html")
    pages = []
    measured = _measured(opened, messages)
    images = [_images(run, data, skip_bad_images, labels, messages) for run in measured]
    first = _shared_mistakes(measured, images, seed)
    for run, splits in zip(measured, images, strict=True):
        page = run_report(
            run,
            splits,
            explain=explain,
            top=top,
            against=against,
            maps=maps,
            check_maps=check_maps,
            first=first,
            seed=seed,
            batch_size=batch_size,
            workers=workers,
            messages=messages,
        )
        page.evaluation = evaluation_link(run.folder, path)
        page.audit = audit_summary(run.folder, path)
        pages.append(page)
    fill_in_black_box(pages)
    return write_report(path, pages, title)


def reported(
    record: RunRecord, options: TrainOptions | ConvertOptions, messages: Messages | None
) -> RunRecord:
    """Write the report of a new run, if the options ask for one, without opening its model and images again."""
    if options.report:
        # A conversion is not resumed but repeated as it was.
        folder = record.folder if isinstance(options, TrainOptions) else None
        with resumable(folder), computing_on(record.model, options.accelerator):
            report(record, workers=options.workers, messages=messages)
    return record


def _shared_mistakes(
    runs: Sequence[RunRecord], images: Sequence[DataSplits | None], seed: int
) -> list[int] | None:
    """Return the images that any of several runs misclassifies, so that all explain the same ones.

    None for a single run, and where the runs were not measured on the same images.
    """
    explaining = [
        (run, splits)
        for run, splits in zip(runs, images, strict=True)
        if isinstance(run.model, PrototypeModel) and splits is not None and (splits.test or len(splits.val))
    ]
    measured = set()
    for _, splits in explaining:
        name, source = choose_split(splits, "auto")
        measured.add((splits.name, name, len(source)))
    if len(explaining) < 2 or len(measured) > 1:
        return None
    return shared_wrong([known_wrong(run, splits, seed) for run, splits in explaining])


def _measured(runs: Sequence[RunRecord], messages: Messages) -> list[RunRecord]:
    """Return the runs; of several, one whose measurements cannot be read is shown without them.

    The page of a single run would lack its most important part.
    """
    readable = []
    for run in runs:
        try:
            read_confusions(run)
        except UserError as error:
            if len(runs) == 1:
                raise
            messages.warn(f"{error}; the report shows no accuracies of {run.name}")
            run = replace(run)
            run.metrics = {}
        readable.append(run)
    return readable


def _images(
    run: RunRecord,
    data: str | DataSplits | None,
    skip_bad_images: bool,
    labels: str | None,
    messages: Messages,
) -> DataSplits | None:
    """Open the run's images; return None if they are not available here, since the report works without them."""
    try:
        return run.images(data, skip_bad_images, labels)
    except UserError as error:
        if data is not None:
            raise
        messages.warn(f"{error}; the report explains no images")
        return None
