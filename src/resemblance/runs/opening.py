"""Open a run that was made before."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.methods.loading import load
from resemblance.runs.folders import CHECKPOINTS, find_run_folder, read_config
from resemblance.runs.run import RunRecord
from resemblance.training.engine.devices import DistributedContext, find_accelerator

Openable = RunRecord | Classifier | Path | str


def read_run(
    path: Path | str,
    *,
    module: nn.Module | None = None,
    allow_import: str | None = None,
    accelerator: str = "cpu",
) -> RunRecord:
    """Open a run folder, a model folder or a model of the hub.

    Args:
        path: the folder, or the hub's ``owner/name``.
        module: the user's own network, if the model was made around one.
        allow_import: ``package.module:function`` that a model around own code may import.
        accelerator: where to put the model.

    Raises:
        UserError: if there is no model there, or it cannot be trusted.
    """
    here = Path(path).expanduser()
    folder = None
    if here.exists():
        folder = _check(here)
    elif str(path).count("/") != 1 or str(path).startswith((".", "~", "/")):
        raise UserError(f"no such folder: {path}")
    model = load(here if here.exists() else str(path), module=module, allow_import=allow_import)
    model.to(device(accelerator))
    name = Path(os.path.abspath(folder or here)).name
    return RunRecord(name, model, folder, {} if folder is None else read_config(folder))


def as_runs(runs: Openable | Sequence[Openable], accelerator: str) -> list[RunRecord]:
    """Open one run or several, where only folders are given; a model becomes a run of which nothing else is known.

    Args:
        runs: runs, models, or what `read_run` opens.
        accelerator: where to put the model of a run that is opened here; others stay where they are.

    Raises:
        UserError: if there is none, or one cannot be opened.
    """
    several = list(runs) if isinstance(runs, Sequence) and not isinstance(runs, str) else [runs]
    if not several:
        raise UserError("no run and no model is given")
    return [_as_run(run, accelerator) for run in several]


def config_of_run(path: Path | str) -> dict[str, Any]:
    """Return what the config.yaml of a run folder says, or of the one around a model folder; empty without one.

    Example:
        >>> config_of_run("nowhere")
        {}
    """
    folder = find_run_folder(Path(path).expanduser())
    return {} if folder is None else read_config(folder)


def device(accelerator: str) -> torch.device:
    """Return what to compute on: ``auto``, ``cpu``, ``gpu`` or ``mps`` as a device of this machine."""
    return DistributedContext(find_accelerator(accelerator, 1)).device


@contextmanager
def computing_on(model: Classifier, accelerator: str) -> Iterator[Classifier]:
    """Move a model to another device for a while; afterwards it is where it was."""
    before = model.device
    model.to(device(accelerator))
    try:
        yield model
    finally:
        model.to(before)


def _as_run(run: Openable, accelerator: str) -> RunRecord:
    if isinstance(run, Classifier):
        return RunRecord(run.name, run)
    return run if isinstance(run, RunRecord) else read_run(run, accelerator=accelerator)


def _check(here: Path) -> Path | None:
    """Return the run folder around a model, if any; refuse what holds no model."""
    if not here.is_dir():
        raise UserError(f"{here} is a file; a run folder or a model folder was expected")
    folder = find_run_folder(here)
    if folder is None and (here / CHECKPOINTS).is_dir():
        raise UserError(f"{here} holds a run that is not finished; go on with it by train --resume")
    if folder is None and not (here / "config.json").is_file():
        raise UserError(f"{here} is neither a run folder (with model/) nor a model folder (with config.json)")
    return folder
