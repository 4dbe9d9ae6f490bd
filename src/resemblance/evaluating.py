"""`evaluate`, the verb of the Python interface that measures models; `resemblance.api` has the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, overload

from resemblance.config.errors import UserError
from resemblance.config.evaluation.measure_options import MeasureOptions, check_measures
from resemblance.data.sources.source import DataSplits, Source, Subset
from resemblance.metrics.ensemble import evaluate_ensemble
from resemblance.metrics.evaluation import Evaluation
from resemblance.metrics.evaluation import evaluate as evaluate_model
from resemblance.report.evaluation.outputs import write_evaluation
from resemblance.runs.evaluated_runs import RunsEvaluation, evaluate_runs, finish_evaluation
from resemblance.runs.folders import make_folder
from resemblance.runs.keywords import configs_from
from resemblance.runs.messages import Messages
from resemblance.runs.opening import Openable, as_runs, dividing_work
from resemblance.runs.run import RunRecord, choose_split
from resemblance.training.devices.torchrun import together

Data = str | DataSplits | Source | None


@overload
def evaluate(
    model: Openable | Sequence[Openable],
    data: Data = None,
    *,
    metrics: None = None,
    against_kmex: Literal[False] = False,
    split: str = "auto",
    batch_size: int = 128,
    workers: int = 0,
    skip_bad_images: bool = False,
    labels: str | None = None,
    accelerator: str = "auto",
    devices: int = 1,
    progress: bool = False,
) -> Evaluation: ...


@overload
def evaluate(
    model: Openable | Sequence[Openable],
    data: Data = None,
    *,
    metrics: str | Sequence[str] | None = None,
    against_kmex: bool = False,
    output: Path | str | None = None,
    blackbox: Openable | None = None,
    split: str = "auto",
    batch_size: int = 128,
    workers: int = 0,
    skip_bad_images: bool = False,
    labels: str | None = None,
    accelerator: str = "auto",
    devices: int = 1,
    progress: bool = False,
    messages: Messages | None = None,
    **options: Any,
) -> RunsEvaluation: ...


@together
def evaluate(
    model: Openable | Sequence[Openable],
    data: Data = None,
    *,
    metrics: str | Sequence[str] | None = None,
    against_kmex: bool = False,
    output: Path | str | None = None,
    blackbox: Openable | None = None,
    split: str = "auto",
    batch_size: int = 128,
    workers: int = 0,
    skip_bad_images: bool = False,
    labels: str | None = None,
    accelerator: str = "auto",
    devices: int = 1,
    progress: bool = False,
    messages: Messages | None = None,
    **options: Any,
) -> Evaluation | RunsEvaluation:
    """Measure a model, or several: accuracy and confusion alone, or all that ``metrics`` names.

    Without ``metrics``, several models are measured as an ensemble; with ``metrics``, side by side, and runs that
    differ in their seed alone are summed up.

    Args:
        model: a model, a run, or the folder of one; or several of these.
        data: the name of a data set as on the command line, its splits, or the images; by default the data that each
            run was trained on, with the same splits.
        metrics: names of measures, ``"all"`` or ``"paper"``; see docs/evaluate.md.
        against_kmex: whether to convert each model with KMEx too, and to measure its prototypes beside those of KMEx.
        output: a folder for evaluation.json, evaluation.csv, figures and a page; an evaluation that was stopped goes
            on from what is kept there.
        blackbox: the black box to compare with.
        split: the images to measure on: auto (test, else val), train, val or test.
        batch_size: images per batch; it does not change the results.
        workers: the number of processes that read images.
        skip_bad_images: whether to leave out image files that cannot be read instead of stopping.
        labels: a table of the classes of images without class folders; see `open_data`.
        accelerator: the hardware to compute on: auto, cpu, gpu, or mps; auto leaves open models where they are.
        devices: the number of GPUs, or of processes on the CPU, that divide the images; see docs/devices.md.
        progress: whether to show progress bars.
        messages: receives notes.
        **options: further options of ``resemblance evaluate``, with underscores: ``maps``, ``definition``, ``images``,
            ``seed``, ``steps``, ``attributes``, ``regions``, ``maps_figure``.

    Returns:
        An `Evaluation` without ``metrics``, otherwise the results of all runs.

    Raises:
        UserError: if the split has no images, the data has other classes, the models cannot form an ensemble, or
            options contradict each other.

    Example:
        >>> evaluate("runs/kmex").accuracy  # doctest: +SKIP
        >>> evaluate(["runs/kmex", "runs/protopnet"], split="val").per_class()  # doctest: +SKIP
        >>> evaluate(["runs/kmex-0", "runs/kmex-1"], metrics="paper", images=1000).groups  # doctest: +SKIP
    """
    names = (metrics,) if isinstance(metrics, str) else None if metrics is None else tuple(metrics)
    values = {**options, "metrics": names, "against_kmex": against_kmex}
    [measures] = configs_from("evaluate()", values, MeasureOptions)
    if names is None and not against_kmex and not measures.maps_figure:
        if options or output is not None or blackbox is not None:
            given = next(iter(options), "output" if output is not None else "blackbox")
            raise UserError(f"evaluate(): {given} has no effect without metrics")
        runs = as_runs(model, accelerator)
        with dividing_work(runs, accelerator, devices):
            return _evaluate(runs, data, split, batch_size, workers, skip_bad_images, labels, progress)
    runs = as_runs(model, accelerator)
    check_measures(measures, len(runs))
    folder = None if output is None else make_folder(Path(output).expanduser())
    with dividing_work(runs, accelerator, devices):
        evaluation = evaluate_runs(
            runs,
            _splits(data),
            measures,
            black_box=None if blackbox is None else as_runs(blackbox, accelerator)[0],
            split=split,
            batch_size=batch_size,
            workers=workers,
            skip_bad_images=skip_bad_images,
            labels=labels,
            folder=folder,
            progress=progress,
            messages=messages,
        )
    if folder is not None:
        write_evaluation(evaluation, folder, measures.maps_figure)
        finish_evaluation(evaluation, folder)
    return evaluation


def _evaluate(
    runs: Sequence[RunRecord],
    data: Data,
    split: str,
    batch_size: int,
    workers: int,
    skip_bad_images: bool,
    labels: str | None,
    progress: bool,
) -> Evaluation:
    """Measure accuracy and confusion of a model, or of several as an ensemble."""
    models = [run.model for run in runs]
    if not isinstance(data, Source):
        data = choose_split(runs[0].images(data, skip_bad_images, labels), split)[1]
    if len(models) == 1:
        return evaluate_model(models[0], data, batch_size=batch_size, workers=workers, progress=progress)
    return evaluate_ensemble(models, data, batch_size=batch_size, workers=workers, progress=progress).whole


def _splits(data: Data) -> str | DataSplits | None:
    """Return data as a name or as splits; images alone are a test set without training images."""
    if not isinstance(data, Source):
        return data
    none = Subset(data, [])
    return DataSplits(none, none, data, data.classes, "images")
