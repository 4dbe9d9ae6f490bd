"""Convert a trained classifier into a self-explaining model, measure it and save it."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from resemblance.config.errors import UserError
from resemblance.config.runs import ConvertOptions
from resemblance.convert.conversion import convert_original
from resemblance.convert.original import open_original
from resemblance.core.classifier import Classifier
from resemblance.data.labels.find_tables import NONE
from resemblance.data.open import open_data
from resemblance.data.pixels.keep_pixels import keep_pixels
from resemblance.data.progress import duration
from resemblance.data.sources.source import DataSplits
from resemblance.data.text import share
from resemblance.runs.config_file import config_lines, write_config
from resemblance.runs.finish import finish
from resemblance.runs.folders import METRICS, PAGE, check_run_folder, check_writable, read_config
from resemblance.runs.images import overview, stored_window
from resemblance.runs.messages import Messages
from resemblance.runs.opening import config_of_run
from resemblance.runs.run import RunRecord, compressed_as, split_seed
from resemblance.training.devices.launch import using_devices
from resemblance.training.engine.lock import lock_folder


def convert_run(
    module: nn.Module | None, options: ConvertOptions, splits: DataSplits | None, messages: Messages
) -> RunRecord:
    """Measure a classifier, convert it, measure the result and save it in a run folder.

    Args:
        module: the classifier as a module; None to open ``options.model``.
        options: the options of the conversion and of the images.
        splits: the images; None to open ``options.data``, or else the data that the run was trained on.
        messages: receives the lines about the progress.

    Raises:
        UserError: if the folder already holds a run or is in use by another process, the images or the classifier
            cannot be read, or the classifier does not fit the images; it says whether another order of the classes or
            another normalisation solves this.
    """
    name = type(module).__name__ if module is not None else options.model or ""
    folder = options.output or default_folder(name, options.patches)
    check_writable(folder)
    with lock_folder(folder), using_devices(options.accelerator, options.devices) as accelerator:
        return _convert(module, name, options, splits, folder, messages, accelerator)


def _convert(
    module: nn.Module | None,
    name: str,
    options: ConvertOptions,
    splits: DataSplits | None,
    folder: Path,
    messages: Messages,
    accelerator: str,
) -> RunRecord:
    """Convert in a locked folder."""
    started = time.monotonic()
    run_config = config_of_run(name) if module is None else {}
    seed = split_seed(run_config) if run_config else options.seed
    fraction = float(run_config.get("val_fraction", options.val_fraction))
    data = None
    if splits is None:
        data = options.data or run_config.get("data")
        if not data:
            raise UserError(f"{name} does not record on which images it was trained; add --data")
    values = {**asdict(options), "data": data, "val_fraction": fraction, "split_seed": seed}
    if splits is None and not options.data and run_config.get("jpeg_classes"):
        values |= {name: run_config[name] for name in ("jpeg_classes", "jpeg_quality") if name in run_config}
    if splits is None and not options.data and not options.labels:
        values["labels"] = run_config.get("labels", NONE if run_config else None)
    if splits is None and options.window is None:
        values["window"] = stored_window(
            module if isinstance(module, Classifier) else None if module else name
        )
    if not _was_killed(folder, values, module):
        check_run_folder(folder)
    if splits is None:
        splits = open_data(
            str(data),
            seed=seed,
            val_fraction=fraction,
            skip_bad_images=options.skip_bad_images,
            labels=values["labels"],
            window=values["window"],
        )
        splits = compressed_as(splits, values)
    keep_pixels(splits, options.pixel_cache)
    for note in splits.notes:
        messages.warn(note)
    original = open_original(name if module is None else module, splits, options)
    messages.say(f"{original.name} on {overview(splits, original.spec)}")
    if original.normalisation:
        messages.say(original.normalisation)
    converted = convert_original(original, splits, options)
    if converted.check is not None and converted.check.val is not None:
        messages.say(
            f"the classifier itself: {share(converted.check.val)} of the validation images classified correctly"
        )
    seconds = time.monotonic() - started
    messages.say(f"converted in {duration(seconds)}")
    write_config(folder, "convert", values)
    return finish(
        converted.model,
        splits,
        folder,
        seconds=seconds,
        notes=converted.notes,
        seed=options.seed,
        batch_size=options.batch_size,
        workers=options.workers,
        progress=options.progress,
        accelerator=accelerator,
        kept=converted.kept,
        unseen=not run_config.get("refit_on_all"),
    )


def _was_killed(folder: Path, values: dict[str, Any], module: nn.Module | None) -> bool:
    """Check whether a folder has the beginning of the same conversion, which may then be done again.

    With other options it could be something that the user wants to keep. The last file is the report, or without one
    the measurements, as for a module, which the options do not identify.
    """
    config = read_config(folder)
    config.pop("versions", None)
    if config != config_lines("convert", values):
        return False
    last = PAGE if values["report"] and module is None else METRICS
    return not (folder / last).exists()


def default_folder(model: str, patches: bool) -> Path:
    """Return ``runs/kmex-MODEL`` or ``runs/kmex-patches-MODEL``.

    Example:
        >>> default_folder("runs/blackbox/", patches=True).as_posix()
        'runs/kmex-patches-blackbox'
    """
    name = model.rstrip("/").rpartition("/")[2].replace(":", "-")
    return Path("runs") / f"kmex-{'patches-' if patches else ''}{name}"
