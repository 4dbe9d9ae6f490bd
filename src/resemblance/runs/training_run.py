"""Train a model on images, measure it and save it."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from resemblance.config.errors import UserError
from resemblance.config.method import MethodConfig
from resemblance.config.model import ModelSpec
from resemblance.config.runs import TrainOptions
from resemblance.config.training import TrainConfig
from resemblance.data.open import open_data
from resemblance.data.pixels.keep_pixels import keep_pixels
from resemblance.data.progress import duration
from resemblance.data.sources.compressed import compress_classes
from resemblance.data.sources.joined import Joined
from resemblance.data.sources.source import DataSplits
from resemblance.methods.registry import build
from resemblance.runs.config_file import write_config
from resemblance.runs.finish import finish
from resemblance.runs.folders import check_run_folder, check_writable
from resemblance.runs.images import image_spec, overview, start_spec, stored_window
from resemblance.runs.messages import Messages
from resemblance.runs.opening import config_of_run
from resemblance.runs.run import RunRecord, split_seed
from resemblance.training.cached.kept_latents import KeptLatents
from resemblance.training.cached.latent_cache import LatentCache
from resemblance.training.devices.launch import using_devices
from resemblance.training.engine.fit import CheckedRun, check_fit, run_fit
from resemblance.training.engine.interrupts import Interrupts, resumable, resume_hint
from resemblance.training.engine.lock import lock_folder


def train_run(
    method: MethodConfig, options: TrainOptions, splits: DataSplits | None, messages: Messages
) -> RunRecord:
    """Train a model by its method's recipe, measure it and save it in a run folder.

    Args:
        method: the configuration of the method.
        options: the options of training and of the images.
        splits: the images; None to open ``options.data``.
        messages: receives the lines about the progress.

    Raises:
        UserError: if the folder already holds a run or is in use by another process, the images cannot be read, or
            options contradict each other.
    """
    data = options.data if splits is None else splits.name
    if not data:
        raise UserError("no data is given; add --data")
    folder = options.output or default_folder(method.name, data)
    check_writable(folder)
    with lock_folder(folder):
        return _train(method, options, data, splits, folder, messages)


def _train(
    method: MethodConfig,
    options: TrainOptions,
    data: str,
    splits: DataSplits | None,
    folder: Path,
    messages: Messages,
) -> RunRecord:
    """Train in a locked folder; nothing else is written into it before everything has been checked."""
    started = time.monotonic()
    prepared = prepare_training(method, options, data, splits, folder, messages)
    checked, splits, start, split = prepared.checked, prepared.splits, prepared.start, prepared.split
    model = checked.job.model
    # A signal between training and what follows is remembered too, wherever it arrives.
    with resumable(folder), Interrupts(resume_hint(folder)):
        write_config(folder, "train", config_values(method, options, split))
        result = run_fit(checked)
        seconds = time.monotonic() - started
        seen = start is not None and bool(config_of_run(start).get("refit_on_all"))
        if result.resumed == "finished":
            messages.say("this run was already finished; there was nothing left to train")
        else:
            if options.resume and not result.resumed:
                messages.warn(f"there was no run in {folder} to continue; a new run was started")
            messages.say(
                f"trained in {duration(seconds)}" + (f" ({result.resumed})" if result.resumed else "")
            )
        frozen = getattr(method, "freeze_encoder", False)
        latents = LatentCache.of_user(options.latent_cache) if frozen else result.latents
        with using_devices(options.accelerator, options.devices) as accelerator:
            return finish(
                model,
                splits,
                folder,
                source=Joined(splits.train, splits.val) if options.refit_on_all else None,
                seconds=seconds,
                notes=result.notes,
                seed=options.seed,
                batch_size=min(options.batch_size or 128, 256),
                workers=options.workers,
                progress=options.progress,
                accelerator=accelerator,
                kept=KeptLatents(model, latents, options.workers, options.progress),
                reference=None if seen else result.reference,
                unseen=not (seen or options.refit_on_all),
            )


@dataclass
class PreparedTraining:
    """A training that was checked, and of which nothing is written yet.

    Args:
        checked: the model, the images and the recipe.
        splits: the images.
        start: the run that it starts from, if any.
        split: ``seed`` and ``val_fraction`` of the split into training and validation images.
    """

    checked: CheckedRun
    splits: DataSplits
    start: str | None
    split: dict[str, Any]


def prepare_training(
    method: MethodConfig,
    options: TrainOptions,
    data: str,
    splits: DataSplits | None,
    folder: Path,
    messages: Messages,
) -> PreparedTraining:
    """Open the images, build the model, and check everything that can be checked before training.

    Args:
        method: the configuration of the method.
        options: the options of training and of the images.
        data: the name of the data.
        splits: the images; None to open ``data``.
        folder: the run folder.
        messages: receives the lines about the data and the model.

    Raises:
        UserError: if the folder already holds a run, the images cannot be read, or options contradict each other.
    """
    start: str | None = getattr(method, "start", None)
    check_run_folder(folder, options.resume)
    split = _split(options, start, messages)
    if splits is None:
        window = options.window or stored_window(start)
        splits = open_data(
            data,
            skip_bad_images=options.skip_bad_images,
            labels=options.labels,
            window=window,
            **split,
        )
    if options.jpeg_classes is not None:
        splits = compress_classes(splits, options.jpeg_classes, options.jpeg_quality, split["seed"])
    keep_pixels(splits, options.pixel_cache)
    for note in splits.notes:
        messages.warn(note)
    spec = _spec(method, splits, options, start)
    torch.manual_seed(options.seed)  # determines the initial weights
    model = build(method.name, method, spec)
    training = TrainConfig(**{item.name: getattr(options, item.name) for item in fields(TrainConfig)})
    checked = check_fit(model, splits, folder, training)
    messages.say(f"{method.name} on {overview(splits, spec)}")
    if description := getattr(getattr(model, "encoder", None), "description", ""):
        messages.say(f"encoder: {description}")
    return PreparedTraining(checked, splits, start, split)


def config_values(method: MethodConfig, options: TrainOptions, split: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a run's config.yaml: all options by name, with those of the method.

    Args:
        method: the configuration of the method.
        options: the options of training and of the images.
        split: ``seed`` and ``val_fraction`` of the split into training and validation images.
    """
    resolved = {"split_seed": split["seed"], "val_fraction": split["val_fraction"]}
    return {**asdict(options), "method": method.name, **asdict(method), **resolved}


def default_folder(method: str, data: str) -> Path:
    """Return ``runs/METHOD-DATA``.

    Example:
        >>> default_folder("kmex", "mnist:data/mnist").as_posix(), default_folder("kmex", "pets/").as_posix()
        ('runs/kmex-mnist', 'runs/kmex-pets')
    """
    kind, colon, _ = data.partition(":")
    name = data.rpartition("/")[2].partition("@")[0].partition(":")[0] if kind == "hf" and colon else kind
    return Path("runs") / f"{method}-{name if colon else Path(data).resolve().stem}"


def _spec(method: MethodConfig, splits: DataSplits, options: TrainOptions, start: str | None) -> ModelSpec:
    """Return the classes and images of the run that this one starts from, else those of options, weights and data."""
    if start is not None:
        return start_spec(start, splits, options)
    encoder, weights = getattr(method, "encoder", None), getattr(method, "weights", "none")
    return ModelSpec(splits.classes, image_spec(splits, options, encoder, weights))


def _split(options: TrainOptions, start: str | None, messages: Messages) -> dict[str, Any]:
    """Return seed and share of the split of validation images: those of the run that this one starts from, if any.

    The model of that run was trained on its training images: with another split, some of these would be validation
    images, and the validation accuracy would be too high.
    """
    run_config = config_of_run(start) if start is not None else {}
    if not run_config:
        return {"seed": options.seed, "val_fraction": options.val_fraction}
    if run_config.get("refit_on_all"):
        messages.warn(
            f"{start} was also trained on the validation images: the accuracies on these are not reliable"
        )
    if run_config.get("jpeg_classes") and options.jpeg_classes is None:
        messages.warn(
            f"{start} was trained with the images of some classes compressed; add --jpeg-classes "
            f"{','.join(run_config['jpeg_classes'])} to train on the same images"
        )
    fraction = float(run_config.get("val_fraction", options.val_fraction))
    return {"seed": split_seed(run_config), "val_fraction": fraction}
