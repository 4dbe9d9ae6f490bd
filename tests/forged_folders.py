"""A small run folder, and changes to folders whose checksums are made right again, as a deceiver would."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.data import ArraySource, DataSplits, ImageDataset, loader
from resemblance.methods.registry import build
from resemblance.runs.config_file import write_config
from resemblance.runs.finish import finish
from resemblance.store import description_checksum
from resemblance.training.ends.projection import project

CLASSES = ("cat", "dog")
INDEX = "prototypes/index.json"


def splits_of(count: int = 8, seed: int = 0, name: str = "noise") -> DataSplits:
    """Make training, validation and test images of noise."""
    draw = np.random.default_rng(seed)
    parts = [
        ArraySource(
            draw.integers(0, 256, (count, 28, 28, 1), dtype=np.uint8),
            np.arange(count) % 2,
            CLASSES,
            f"{split} photo",
        )
        for split in ("train", "val", "test")
    ]
    return DataSplits(*parts, CLASSES, name)


def make_run(folder: Path) -> Path:
    """Save an untrained, projected ProtoPNet with pictures as a run."""
    torch.manual_seed(0)
    spec = ModelSpec(CLASSES, ImageSpec(28, 28, 1, (0.5,), (0.25,)))
    settings = {"encoder": "small", "prototypes_per_class": 2, "prototype_depth": 8}
    model = build("protopnet", settings, spec).eval()
    splits = splits_of()
    project(model, loader(ImageDataset(splits.train, spec.image), 4))
    write_config(folder, "train", {"method": "protopnet", "data": "noise", "seed": 3})
    finish(model, splits, folder, seed=3, accelerator="cpu", notes=["made for a test"])
    return folder


def change_json(path: Path, change: Callable[[Any], Any]) -> None:
    """Change the document in a JSON file in place."""
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def hash_again(model: Path) -> None:
    """Give a model folder the checksums of the files that it now has."""

    def renew(document: Any) -> None:
        rest = {key: value for key, value in document.items() if key not in ("format", "checksums")}
        sums = {
            path.relative_to(model).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(model.rglob("*"))
            if path.is_file() and path.name != "config.json"
        }
        document["checksums"] = {"config.json": description_checksum(rest), **sums}

    change_json(model / "config.json", renew)


def forge(model: Path, change: Callable[[Any], Any], name: str = "config.json") -> None:
    """Change a JSON file of a model folder, and its checksums with it."""
    change_json(model / name, change)
    hash_again(model)
