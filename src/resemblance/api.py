"""The Python interface, which the command line uses: train, convert, and open a run.

The other verbs, explain, evaluate, audit, report and export, have modules of their own.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from torch import nn

from resemblance.config.method import MethodConfig
from resemblance.data.sources.source import DataSplits
from resemblance.finished_run import Run
from resemblance.runs.messages import Messages, messages_for
from resemblance.runs.opening import read_run
from resemblance.runs.run import RunRecord
from resemblance.training.devices.torchrun import together


@together
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


@together
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
