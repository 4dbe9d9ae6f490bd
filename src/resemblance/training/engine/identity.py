"""The identity of a run: everything that must be the same when it is resumed."""

from __future__ import annotations

import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from resemblance.config.errors import UserError
from resemblance.config.training import TrainConfig
from resemblance.core.classifier import Classifier
from resemblance.core.recipe import Recipe
from resemblance.data.sources.source import DataSplits, Source
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
        }
    )
    return identity


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
    differing = [name for name in {**old, **new} if old.get(name) != new.get(name)]
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
