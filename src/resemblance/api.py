"""The Python interface, which the command line uses: train, convert, open, explain, evaluate, report, export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from torch import nn

from resemblance.config.method import MethodConfig
from resemblance.data.sources.source import DataSplits, Source
from resemblance.explain.many.explanations import Explanations
from resemblance.explaining import explain
from resemblance.exporting import export as export_model
from resemblance.runs.explained_images import Labels
from resemblance.runs.messages import Messages, messages_for
from resemblance.runs.opening import Openable, read_run
from resemblance.runs.run import RunRecord

# The other verbs are imported where they are used: scikit-learn, Lightning, torchmetrics and matplotlib take four times
# as long to import as torch, and who explains an image needs none of them.
if TYPE_CHECKING:
    from resemblance.metrics.evaluation import Evaluation
    from resemblance.runs.audited_run import RunAudit
    from resemblance.runs.evaluated_runs import RunsEvaluation


class Run(RunRecord):
    """A finished run, as `train`, `convert` and `open_run` return it.

    Attributes:
        name: the name of the folder.
        model: the model in evaluation mode; after `train` and `convert`, it is on the CPU.
        folder: the run folder; None for a model folder alone, or a model on the Hugging Face Hub.
        config: the content of its config.yaml.
        metrics: the content of its metrics.json.
        notes: notes that the reader should know: images left out or split off, results of projection and pruning.
    """

    def explain(
        self,
        images: Any,
        *,
        top: int | None = 5,
        prototypes: Sequence[int] | None = None,
        classes: Sequence[int | str] | None = None,
        against: int | str = "auto",
        labels: Labels = None,
        maps: str = "auto",
        check_maps: bool | None = None,
        abstain_below: float | None = None,
        conformal: float | None = None,
        figures: str = "auto",
        output: Path | str | None = None,
        skip_bad_images: bool = False,
        batch_size: int = 16,
        accelerator: str = "auto",
        progress: bool = False,
        messages: Messages | None = None,
    ) -> Explanations:
        """Explain images; see `resemblance.explain`."""
        return explain(
            self,
            images,
            top=top,
            prototypes=prototypes,
            classes=classes,
            against=against,
            labels=labels,
            maps=maps,
            check_maps=check_maps,
            abstain_below=abstain_below,
            conformal=conformal,
            figures=figures,
            output=output,
            skip_bad_images=skip_bad_images,
            batch_size=batch_size,
            accelerator=accelerator,
            progress=progress,
            messages=messages,
        )

    @overload
    def evaluate(
        self,
        data: str | DataSplits | Source | None = None,
        *,
        metrics: None = None,
        split: str = "auto",
        batch_size: int = 128,
        workers: int = 0,
        skip_bad_images: bool = False,
        labels: str | None = None,
        progress: bool = False,
    ) -> Evaluation: ...

    @overload
    def evaluate(
        self,
        data: str | DataSplits | Source | None = None,
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
        progress: bool = False,
        messages: Messages | None = None,
        **options: Any,
    ) -> RunsEvaluation: ...

    def evaluate(
        self, data: str | DataSplits | Source | None = None, **options: Any
    ) -> Evaluation | RunsEvaluation:
        """Measure the model; see `resemblance.evaluate`."""
        from resemblance.evaluating import evaluate

        result: Evaluation | RunsEvaluation = evaluate(self, data, **options)
        return result

    def audit(
        self,
        data: str | DataSplits | None = None,
        *,
        checks: str | Sequence[str] | None = None,
        output: Path | str | None = None,
        split: str = "auto",
        batch_size: int = 32,
        skip_bad_images: bool = False,
        labels: str | None = None,
        progress: bool = False,
        messages: Messages | None = None,
        **options: Any,
    ) -> RunAudit:
        """Try whether the model's explanations can be trusted; see `resemblance.audit`."""
        from resemblance.auditing import audit

        return audit(
            self,
            data,
            checks=checks,
            output=output,
            split=split,
            batch_size=batch_size,
            skip_bad_images=skip_bad_images,
            labels=labels,
            progress=progress,
            messages=messages,
            **options,
        )

    def report(
        self,
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
        """Write the run's page; see `resemblance.report`."""
        from resemblance.report.run_pages import report

        return report(
            self,
            output,
            data=data,
            title=title,
            explain=explain,
            top=top,
            against=against,
            maps=maps,
            check_maps=check_maps,
            seed=seed,
            batch_size=batch_size,
            workers=workers,
            skip_bad_images=skip_bad_images,
            labels=labels,
            messages=messages,
        )

    export = export_model


def train(
    method: str,
    data: str | DataSplits,
    output: Path | str | None = None,
    *,
    config: MethodConfig | None = None,
    messages: Messages | None = None,
    **options: Any,
) -> Run:
    """Train a model by its method's recipe, measure it, and save it in a run folder.

    Args:
        method: the name of the method; `list_methods` returns all names.
        data: the name of a data set as on the command line (see `open_data`), or its splits.
        output: the run folder; by default ``runs/METHOD-DATA``.
        config: the method's configuration; by default it is made from the options.
        messages: receives the lines about the progress; by default they are printed if ``progress=True``.
        **options: the options of ``resemblance train METHOD``, with underscores. By default nothing is printed and no
            report is written; ``progress=True`` and ``report=True`` change this.

    Raises:
        UserError: if the method or an option does not exist, the images cannot be read, or the folder already holds a
            run.

    Example:
        >>> run = train("prototypedl", "digits", "runs/prototypedl", epochs=3)  # doctest: +SKIP
        >>> run.metrics["test"]["accuracy"], run.explain("digit.png")  # doctest: +SKIP
    """
    from resemblance.report.run_pages import reported
    from resemblance.runs.keywords import train_options
    from resemblance.runs.training_run import train_run

    config, settings = train_options(method, config, options, data, output)
    splits = data if isinstance(data, DataSplits) else None
    record = train_run(config, settings, splits, messages or messages_for(settings.progress))
    return _run(reported(record, settings, messages))


def convert(
    model: str | Path | nn.Module | RunRecord,
    data: str | DataSplits | None = None,
    output: Path | str | None = None,
    *,
    messages: Messages | None = None,
    **options: Any,
) -> Run:
    """Convert a trained classifier into a self-explaining one (KMEx), without training, and save it in a run folder.

    The classifier is measured before the conversion, the result after it; the run's ``metrics`` hold both accuracies.

    Args:
        model: a run, a run or model folder, ``hf:OWNER/NAME``, a timm name, ``torchvision/NAME``,
            ``transformers/NAME``, ``package.module:function``, a network, or a model of this library.
        data: the name of a data set as on the command line, or its splits; by default the data that the run was trained
            on.
        output: the run folder; by default ``runs/kmex-MODEL``.
        messages: receives the lines about the progress; by default they are printed if ``progress=True``.
        **options: the options of ``resemblance convert``, with underscores; see `train`.

    Raises:
        UserError: if the classifier cannot be opened or is no better than chance; it says whether another order of the
            classes or another normalisation solves this.

    Example:
        >>> run = convert(network, "xrays/", "runs/xrays", prototypes_per_class=3)  # doctest: +SKIP
        >>> print(run.explain("patient.png")[0])  # doctest: +SKIP
    """
    from resemblance.report.run_pages import reported
    from resemblance.runs.conversion_run import convert_run
    from resemblance.runs.keywords import convert_options

    if isinstance(model, RunRecord):
        model = model.folder or model.model
    module, name = (model, None) if isinstance(model, nn.Module) else (None, model)
    settings = convert_options(name, options, data, output)
    splits = data if isinstance(data, DataSplits) else None
    record = convert_run(module, settings, splits, messages or messages_for(settings.progress))
    return _run(reported(record, settings, messages))


def open_run(
    path: Path | str,
    *,
    module: nn.Module | None = None,
    allow_import: str | None = None,
    accelerator: str = "cpu",
) -> Run:
    """Open a run that was made on the command line or in Python.

    Args:
        path: a run folder, a model folder, or ``hf:OWNER/NAME`` for a model on the Hugging Face Hub.
        module: your own network, if the model was made around one.
        allow_import: ``package.module:function`` that may be imported, for a model around your own network.
        accelerator: the hardware of the model: cpu, gpu, mps, or auto.

    Raises:
        UserError: if there is no finished run or model, or it cannot be trusted.

    Example:
        >>> open_run("runs/nothing/there")
        Traceback (most recent call last):
        resemblance.config.errors.UserError: no such folder: runs/nothing/there
    """
    return _run(read_run(path, module=module, allow_import=allow_import, accelerator=accelerator))


def _run(record: RunRecord) -> Run:
    return Run(**{item.name: getattr(record, item.name) for item in fields(RunRecord)})
