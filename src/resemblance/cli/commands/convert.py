"""``resemblance convert MODEL``: a trained classifier that gives its reasons."""

from __future__ import annotations

import time
from pathlib import Path

from resemblance.cli.console import Screen, screen, share
from resemblance.config.commands import ConvertCommand
from resemblance.config.errors import UserError
from resemblance.convert.conversion import convert_original
from resemblance.convert.original import open_original
from resemblance.data.open import open_data
from resemblance.data.progress import duration
from resemblance.runs.finish import Finished, close, finish
from resemblance.runs.images import overview
from resemblance.runs.run import check_run_folder, record, run_config, split_seed


def run(options: ConvertCommand) -> int:
    """Measure the classifier, convert it, measure again, save and report."""
    with screen(options.json) as out:
        finished = convert(options, out)
        close(finished, out, options, own_code=options.allow_import or options.model)
    return 0


def convert(options: ConvertCommand, out: Screen) -> Finished:
    """Convert a classifier as the options say."""
    started = time.monotonic()
    folder = check_run_folder(options.output or default_folder(options))
    made = run_config(options.model)
    data = options.data or made.get("data")
    if not data:
        raise UserError(f"{options.model} does not say on which images it was trained; add --data")
    seed = split_seed(made) if made else options.seed
    fraction = float(made.get("val_fraction", options.val_fraction))
    splits = open_data(data, seed=seed, val_fraction=fraction, skip_bad_images=options.skip_bad_images)
    for note in splits.notes:
        out.warn(note)
    original = open_original(
        options.model,
        splits,
        options,
        weights=options.weights,
        stem=options.stem,
        cut=options.cut,
        classes=options.classes,
        allow_import=options.allow_import,
        headless=options.force,
    )
    out.say(f"{original.name} on {overview(splits, original.spec)}")
    done = convert_original(
        original,
        splits,
        prototypes_per_class=options.prototypes_per_class,
        patches=options.patches,
        n_init=options.n_init,
        subset=options.subset,
        variant=options.variant,
        seed=options.seed,
        batch_size=options.batch_size,
        workers=options.workers,
        accelerator=options.accelerator,
        force=options.force,
        progress=options.progress,
    )
    if done.check is not None and done.check.val is not None:
        out.say(f"the classifier itself: {share(done.check.val)} of the validation images")
    seconds = time.monotonic() - started
    out.say(f"converted in {duration(seconds)}")
    record(folder, "convert", options, data=data, val_fraction=fraction, split_seed=seed)
    return finish(
        done.model,
        splits,
        folder,
        out,
        seconds=seconds,
        notes=done.notes,
        batch_size=options.batch_size,
        workers=options.workers,
        progress=options.progress,
        accelerator=options.accelerator,
        seed=options.seed,
    )


def default_folder(options: ConvertCommand) -> Path:
    """``runs/kmex-MODEL`` or ``runs/kmex-patches-MODEL``.

    Example:
        >>> default_folder(ConvertCommand(model="runs/blackbox/", patches=True)).as_posix()
        'runs/kmex-patches-blackbox'
    """
    name = options.model.rstrip("/").rpartition("/")[2].replace(":", "-")
    return Path("runs") / f"kmex-{'patches-' if options.patches else ''}{name}"
