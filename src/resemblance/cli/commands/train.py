"""``resemblance train METHOD``: from a folder of images to a model with a report."""

from __future__ import annotations

import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from resemblance.cli.console import Screen, screen
from resemblance.config.commands import TrainCommand
from resemblance.config.model import ModelSpec
from resemblance.config.training import TrainConfig
from resemblance.data.open import open_data
from resemblance.data.progress import duration
from resemblance.data.sources.joined import Joined
from resemblance.methods.registry import build
from resemblance.runs.finish import Finished, close, finish
from resemblance.runs.images import image_spec, overview, start_spec
from resemblance.runs.run import check_run_folder, record, run_config, split_seed
from resemblance.training.engine.fit import fit


def run(options: TrainCommand) -> int:
    """Train, measure, save and report."""
    with screen(options.json) as out:
        finished = train(options, out)
        close(finished, out, options, own_code=getattr(options.method, "encoder", None))
    return 0


def train(options: TrainCommand, out: Screen) -> Finished:
    """Train a model as the options say; the run folder holds everything that came of it."""
    started = time.monotonic()
    folder = check_run_folder(options.output or default_folder(options.name, options.data), options.resume)
    start: str | None = getattr(options.method, "start", None)
    split = split_of(options, start, out)
    splits = open_data(options.data, skip_bad_images=options.skip_bad_images, **split)
    for note in splits.notes:
        out.warn(note)
    if start is None:
        encoder, weights = (
            getattr(options.method, "encoder", None),
            getattr(options.method, "weights", "none"),
        )
        spec = ModelSpec(splits.classes, image_spec(splits, options, encoder, weights))
    else:
        spec = start_spec(start, splits, options)
    torch.manual_seed(options.seed)  # the initial weights follow from the seed
    model = build(options.name, options.method, spec)
    record(folder, "train", options, split_seed=split["seed"], val_fraction=split["val_fraction"])
    out.say(f"{options.name} on {overview(splits, spec)}")
    if description := getattr(getattr(model, "encoder", None), "description", ""):
        out.say(f"encoder: {description}")
    config = TrainConfig(**{item.name: getattr(options, item.name) for item in fields(TrainConfig)})
    result = fit(model, splits, folder, config)
    seconds = time.monotonic() - started
    if result.resumed == "finished":
        out.say("this run was finished already; nothing was left to train")
    else:
        if options.resume and not result.resumed:
            out.warn(f"there was no run in {folder} to go on with; this one began anew")
        out.say(f"trained in {duration(seconds)}" + (f" ({result.resumed})" if result.resumed else ""))
    return finish(
        model,
        splits,
        folder,
        out,
        source=Joined(splits.train, splits.val) if options.refit_on_all else None,
        seconds=seconds,
        notes=result.notes,
        batch_size=min(options.batch_size or 128, 256),
        workers=options.workers,
        progress=options.progress,
        accelerator=options.accelerator,
        seed=options.seed,
    )


def split_of(options: TrainCommand, start: str | None, out: Screen) -> dict[str, Any]:
    """Seed and share by which validation images are set aside: of the run that this one starts from, if any.

    Its model has seen its own training images; others would make the validation look better than it is.
    """
    made = run_config(start) if start is not None else {}
    if not made:
        return {"seed": options.seed, "val_fraction": options.val_fraction}
    if made.get("refit_on_all"):
        out.warn(f"{start} was trained on the validation images too: accuracies on these say little")
    return {"seed": split_seed(made), "val_fraction": float(made.get("val_fraction", options.val_fraction))}


def default_folder(method: str, data: str) -> Path:
    """``runs/METHOD-DATA``.

    Example:
        >>> default_folder("kmex", "mnist:data/mnist").as_posix(), default_folder("kmex", "pets/").as_posix()
        ('runs/kmex-mnist', 'runs/kmex-pets')
    """
    kind, colon, _ = data.partition(":")
    return Path("runs") / f"{method}-{kind if colon else Path(data).resolve().stem}"
