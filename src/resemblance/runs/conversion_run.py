"""From a trained classifier to a measured and saved model that explains itself."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

from torch import nn

from resemblance.config.errors import UserError
from resemblance.config.runs import ConvertOptions
from resemblance.convert.conversion import convert_original
from resemblance.convert.original import open_original
from resemblance.data.open import open_data
from resemblance.data.progress import duration
from resemblance.data.sources.source import DataSplits
from resemblance.data.text import share
from resemblance.runs.config_file import record
from resemblance.runs.finish import finish
from resemblance.runs.folders import check_run_folder
from resemblance.runs.images import overview
from resemblance.runs.messages import Messages
from resemblance.runs.opening import config_of_run
from resemblance.runs.run import RunRecord, split_seed


def convert_run(
    module: nn.Module | None, options: ConvertOptions, splits: DataSplits | None, messages: Messages
) -> RunRecord:
    """Measure a classifier, convert it, measure it again and save it; the run folder holds all that came of it.

    Args:
        module: the classifier, where it is at hand; else ``options.model`` is opened.
        options: of the conversion and of the images.
        splits: the images, where they are open already; else ``options.data`` is opened, or what the run was trained
            on.
        messages: hears what happens.

    Raises:
        UserError: if the folder holds a run already, the images or the classifier cannot be read, or it does not fit
            the images; says whether another order of the classes or another normalisation cures it.
    """
    started = time.monotonic()
    name = type(module).__name__ if module is not None else options.model or ""
    folder = check_run_folder(options.output or default_folder(name, options.patches))
    made = config_of_run(name) if module is None else {}
    seed = split_seed(made) if made else options.seed
    fraction = float(made.get("val_fraction", options.val_fraction))
    data = None
    if splits is None:
        data = options.data or made.get("data")
        if not data:
            raise UserError(f"{name} does not say on which images it was trained; add --data")
        splits = open_data(data, seed=seed, val_fraction=fraction, skip_bad_images=options.skip_bad_images)
    for note in splits.notes:
        messages.warn(note)
    original = open_original(name if module is None else module, splits, options)
    messages.say(f"{original.name} on {overview(splits, original.spec)}")
    converted = convert_original(original, splits, options)
    if converted.check is not None and converted.check.val is not None:
        messages.say(f"the classifier itself: {share(converted.check.val)} of the validation images")
    seconds = time.monotonic() - started
    messages.say(f"converted in {duration(seconds)}")
    settled = {"data": data, "val_fraction": fraction, "split_seed": seed}
    record(folder, "convert", {**asdict(options), **settled})
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
        accelerator=options.accelerator,
    )


def default_folder(model: str, patches: bool) -> Path:
    """Return ``runs/kmex-MODEL`` or ``runs/kmex-patches-MODEL``.

    Example:
        >>> default_folder("runs/blackbox/", patches=True).as_posix()
        'runs/kmex-patches-blackbox'
    """
    name = model.rstrip("/").rpartition("/")[2].replace(":", "-")
    return Path("runs") / f"kmex-{'patches-' if patches else ''}{name}"
