"""Open existing runs and models."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from resemblance.config.errors import UserError
from resemblance.config.files.named_files import HUB, hub_hint
from resemblance.core.classifier import Classifier
from resemblance.methods.loading import load
from resemblance.runs.folders import CHECKPOINTS, find_run_folder, read_config
from resemblance.runs.run import RunRecord
from resemblance.training.devices.launch import using_devices
from resemblance.training.engine.devices import DistributedContext, find_accelerator

Openable = RunRecord | Classifier | Path | str


def read_run(
    path: Path | str,
    *,
    module: nn.Module | None = None,
    allow_import: str | None = None,
    accelerator: str = "cpu",
) -> RunRecord:
    """Open a run folder, a model folder or a model on the Hugging Face Hub.

    Args:
        path: the folder, or ``hf:OWNER/NAME`` for a model on the hub.
        module: the user's own network, if the model was made around one.
        allow_import: ``package.module:function`` that may be imported, for a model around the user's own network.
        accelerator: the hardware of the model.

    Raises:
        UserError: if there is no model, or it cannot be trusted.
    """
    location = Path(path).expanduser()
    folder = None
    if location.exists():
        folder = _check(location)
    elif not str(path).startswith(HUB):
        raise UserError(f"no such folder: {path}{hub_hint(path)}")
    model = load(location if location.exists() else str(path), module=module, allow_import=allow_import)
    model.to(device(accelerator))
    name = Path(os.path.abspath(folder or location)).name
    return RunRecord(name, model, folder, {} if folder is None else read_config(folder))


def as_runs(runs: Openable | Sequence[Openable], accelerator: str) -> list[RunRecord]:
    """Return a list of runs; folders are opened, and a model becomes a run without a folder.

    Args:
        runs: one or several runs, models, or paths as `read_run` opens them.
        accelerator: the hardware of the models that are opened here; other models stay where they are.

    Raises:
        UserError: if there is no run, or one cannot be opened.
    """
    several = list(runs) if isinstance(runs, Sequence) and not isinstance(runs, str) else [runs]
    if not several:
        raise UserError("no run and no model is given")
    return [_as_run(run, accelerator) for run in several]


def config_of_run(path: Path | str) -> dict[str, Any]:
    """Return the config.yaml of a run folder, or of the run folder around a model folder; empty if there is none.

    Example:
        >>> config_of_run("nowhere")
        {}
    """
    folder = find_run_folder(Path(path).expanduser())
    return {} if folder is None else read_config(folder)


def device(accelerator: str) -> torch.device:
    """Return the device of this machine for ``auto``, ``cpu``, ``gpu`` or ``mps``."""
    return DistributedContext(find_accelerator(accelerator, 1)).device


@contextmanager
def computing_on(model: Classifier, accelerator: str) -> Iterator[Classifier]:
    """Move a model to another device; at the end of the context, move it back."""
    previous = model.device
    model.to(device(accelerator))
    try:
        yield model
    finally:
        model.to(previous)


@contextmanager
def dividing_work(runs: Sequence[RunRecord], accelerator: str, devices: int) -> Iterator[None]:
    """Divide the passes of runs' models over images among several devices in the block.

    Args:
        runs: the runs.
        accelerator: the hardware; ``auto`` is where the models are, other models are moved to it for the block.
        devices: the number of devices.

    Raises:
        UserError: if this machine does not have the devices.
    """
    stay = accelerator == "auto"
    if stay:
        kind = runs[0].model.device.type
        accelerator = "gpu" if kind == "cuda" else kind
    with using_devices(accelerator, devices), ExitStack() as stack:
        for run in runs if devices > 1 or not stay else ():
            stack.enter_context(computing_on(run.model, accelerator))
        yield


def _as_run(run: Openable, accelerator: str) -> RunRecord:
    if isinstance(run, Classifier):
        return RunRecord(run.name, run)
    return run if isinstance(run, RunRecord) else read_run(run, accelerator=accelerator)


def _check(location: Path) -> Path | None:
    """Return the run folder around a model, if any; refuse a path without a model."""
    if not location.is_dir():
        raise UserError(f"{location} is a file; a run folder or a model folder was expected")
    folder = find_run_folder(location)
    if folder is None and (location / CHECKPOINTS).is_dir():
        raise UserError(f"{location} holds a run that is not finished; continue it with train --resume")
    if folder is None and not (location / "config.json").is_file():
        raise UserError(
            f"{location} is neither a run folder (with model/) nor a model folder (with config.json)"
        )
    return folder
