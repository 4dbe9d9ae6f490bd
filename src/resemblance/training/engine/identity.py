"""The identity of a run: everything that must be the same when it is resumed."""

from __future__ import annotations

import os
import warnings
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from resemblance.config.errors import UserError
from resemblance.config.training import TrainConfig
from resemblance.core.classifier import Classifier
from resemblance.core.recipe import Recipe
from resemblance.data.sources.source import DataSplits, Source
from resemblance.printing.lines import FolderWarning
from resemblance.training.engine.state import plain

# Settings that do not change the weights, or that the recipe, compared as a whole, already contains.
NOT_COMPARED = (
    "resume",
    "workers",
    "accelerator",
    "checkpoint_every_steps",
    "progress",
    "epochs",
    "batch_size",
    "augment",
)

THREADS = "threads"  # compared apart, since it changes no more than the last bits


def identify(model: Classifier, recipe: Recipe, splits: DataSplits, config: TrainConfig) -> dict[str, Any]:
    """Return everything that the final weights depend on, as plain values."""
    settings = {name: value for name, value in asdict(config).items() if name not in NOT_COMPARED}
    sizes = {name: list(parameter.shape) for name, parameter in model.named_parameters()}
    identity: dict[str, Any] = plain(
        {
            **settings,
            "method": model.name,
            "model": asdict(model.config),
            "classes and images": model.spec.to_dict(),
            "network": zlib.crc32(repr(sizes).encode()),
            "batch_size": recipe.batch_size,
            "augment": recipe.augment,
            "recipe": [asdict(stage) for stage in recipe.stages],
            "training images": fingerprint(splits.train),
            "validation images": fingerprint(splits.val),
            THREADS: threads(config),
        }
    )
    return identity


def threads(config: TrainConfig) -> int:
    """Return the number of threads in which each process computes on a CPU; 0 on other hardware."""
    if config.accelerator in ("gpu", "mps") or (config.accelerator == "auto" and torch.cuda.device_count()):
        return 0
    return torch.get_num_threads() if config.devices == 1 else max(1, (os.cpu_count() or 1) // config.devices)


def warn_of_other_threads(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Warn if a run is continued with another number of threads: the last bits of its weights will differ."""
    before, now = old.get(THREADS), new.get(THREADS)
    if before and now and before != now:
        warnings.warn(
            f"this run was started with {before} threads and continues with {now}, which add numbers in another order: "
            "the last bits of its weights will differ from those of a run that was not interrupted (OMP_NUM_THREADS="
            f"{before} continues to the same bits)",
            FolderWarning,
            stacklevel=2,
        )


def fingerprint(source: Source | None) -> str:
    """Return the number of images, and a checksum of their labels and of their pixels or names."""
    if source is None or not len(source):
        return "none"
    check = zlib.crc32(np.ascontiguousarray(source.labels).tobytes())
    if source.array is not None:
        check = zlib.crc32(np.ascontiguousarray(source.array).data, check)
    else:
        for index in range(len(source)):
            check = zlib.crc32(source.name(index).encode(errors="backslashreplace"), check)
    return f"{len(source)} images ({check:08x})"


def check_same(old: dict[str, Any], new: dict[str, Any], run: Path) -> None:
    """Refuse to resume a run with other settings.

    Raises:
        UserError: naming what differs.
    """
    # A version without an option trained as its default does.
    defaults = {name: value for name, value in plain(asdict(TrainConfig())).items() if name in new}
    old = {**defaults, **old}
    differing = [name for name in {**old, **new} if name != THREADS and old.get(name) != new.get(name)]
    if not differing:
        return
    shown = []
    for name in differing[:3]:
        before, now = str(old.get(name)), str(new.get(name))
        parts = _differing_parts(old.get(name), new.get(name))
        shown.append(
            f"{name} differs{parts}" if len(before) + len(now) > 80 else f"{name} was {before}, now {now}"
        )
    raise UserError(
        f"{run} cannot be resumed with other settings: {'; '.join(shown)}; use the settings it "
        "was started with, or another --output"
    )


def _differing_parts(old: Any, new: Any) -> str:
    """Name the keys that differ in two lists of mappings, as recipes are."""
    if not (isinstance(old, list) and isinstance(new, list) and len(old) == len(new)):
        return ""
    pairs = [pair for pair in zip(old, new, strict=True) if all(isinstance(side, dict) for side in pair)]
    names = sorted({name for before, now in pairs for name in before if before[name] != now.get(name)})
    return f" in {', '.join(names)}" if names else ""
