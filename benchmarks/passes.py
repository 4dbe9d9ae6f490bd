"""Measure how often the encoder reads the same images: after joint training, in a conversion, with many prototypes.

    python benchmarks/passes.py [--json FILE] [--only NAME ...] [--quick]

Nothing is found from before: each run has a cache of its own.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bare_encoder import clustering
from timing import Measurement, print_table, rounds, taken

import resemblance
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.core.classifier import Classifier
from resemblance.data import ArraySource, DataSplits, ImageDataset, loader
from resemblance.encoders.base import Encoder
from resemblance.methods.registry import build

CLASSES, BATCH = 10, 32
RECOGNISED = 2  # images at a time, at most, that an encoder reads to be recognised

# After joint training come projection, the last layer, pruning, the last layer, usage, class means and measuring.
TRAINING = {
    "encoder": "resnet18",
    "prototypes_per_class": 5,
    "warm_epochs": 0,
    "joint_epochs": 1,
    "last_epochs": 1,
    "prune": True,
    "batch_size": BATCH,
    "image_size": 128,
}


def noisy(size: int, train: int, val: int, test: int) -> DataSplits:
    """Noisy images of ten classes."""
    generator = np.random.default_rng(0)
    means = generator.uniform(0, 255, (CLASSES, 8, 8, 3)).repeat(size // 8, 1).repeat(size // 8, 2)
    names = tuple(map(str, range(CLASSES)))

    def part(count: int) -> ArraySource:
        labels = np.arange(count) % CLASSES
        pixels = means[labels] + generator.normal(0, 40, (count, size, size, 3))
        return ArraySource(pixels.clip(0, 255).astype(np.uint8), labels, names)

    return DataSplits(part(train), part(val), part(test), names, "noise")


def one_pass(model: Classifier, splits: DataSplits) -> None:
    """Read all images of the splits once."""
    encoder = model.get_submodule("encoder")
    with torch.inference_mode():
        for source in (splits.train, splits.val, splits.test):
            assert source is not None
            for batch in loader(ImageDataset(source, model.spec.image), BATCH):
                encoder.features(model.normalize(batch.images))


@contextmanager
def fresh_folder() -> Iterator[Path]:
    """A folder for a run, with a cache that is empty."""
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("RESEMBLANCE_CACHE")
        os.environ["RESEMBLANCE_CACHE"] = f"{folder}/cache"
        try:
            yield Path(folder) / "run"
        finally:
            del os.environ["RESEMBLANCE_CACHE"]
            if before is not None:
                os.environ["RESEMBLANCE_CACHE"] = before


def after_training(splits: DataSplits) -> tuple[Classifier, int, float]:
    """Train ProtoPNet; how many images its encoder reads after the last step that changes it, and in what time."""
    original, read, last = Encoder.features, 0, 0.0

    def features(encoder: Encoder, images: torch.Tensor) -> Any:
        nonlocal read, last
        if encoder.training:
            read, last = 0, time.process_time()
        elif len(images) > RECOGNISED:
            read += len(images)
        return original(encoder, images)

    Encoder.features = features  # type: ignore[method-assign]
    try:
        with fresh_folder() as folder:
            options = {**TRAINING, "accelerator": "cpu", "report": False, "progress": False}
            run = resemblance.train("protopnet", splits, folder, **options)
    finally:
        Encoder.features = original  # type: ignore[method-assign]
    return run.model, read, time.process_time() - last


def passes(quick: bool, *, timed: bool) -> tuple[float, float]:
    """Images read after joint training / all images; or the time of what follows it / that of one pass over them.

    The epoch's own validation and the test come on top of the training images.
    """
    splits = noisy(128, *((64, 32, 32) if quick else (960, 32, 32)))
    model, read, seconds = after_training(splits)
    assert splits.test is not None
    images = len(splits.train) + len(splits.val) + len(splits.test)
    base = taken(lambda: one_pass(model, splits))
    return (seconds / base, base) if timed else ((read - len(splits.val)) / images, base)


def conversion(quick: bool, *, patches: bool = False) -> tuple[float, float]:
    """A whole conversion, without its report, against one pass over training, validation and test images."""
    counts = (300, 60, 60) if quick or patches else (2000, 400, 400)
    splits = noisy(128 if patches else 64, *counts)
    model = class_means(splits)

    def convert() -> None:
        with fresh_folder() as folder:
            resemblance.convert(
                model, splits, folder, patches=patches, accelerator="cpu", report=False, progress=False
            )

    return rounds(lambda: one_pass(model, splits), convert, 1 if quick else 3)


def class_means(splits: DataSplits) -> Classifier:
    """A classifier that is worth converting: a ResNet-18 that was not trained, with the means of its embeddings."""
    torch.manual_seed(0)
    height, width, channels = splits.train.shapes[0].tolist()
    spec = ModelSpec(splits.classes, ImageSpec(height, width, channels, (0.5,) * 3, (0.25,) * 3))
    model = build("blackbox", {"encoder": "resnet18"}, spec).eval()
    sample = ImageDataset(splits.train, spec.image).__getitems__(range(20 * CLASSES))
    head = model.get_submodule("encoder.classifier")
    with torch.no_grad():
        embeddings = model.encode(sample.images)
        means = torch.stack([embeddings[sample.labels == c].mean(dim=0) for c in range(CLASSES)])
        head.weight.copy_(means)
        head.bias.copy_(-means.square().sum(dim=1) / 2)
    return model


MEASUREMENTS = {
    "passes": Measurement(
        "images read after joint training / all images",
        partial(passes, timed=False),
        1.0,
        "ProtoPNet, resnet18, 1,024 images of 128 px, counted",
    ),
    "passes-time": Measurement(
        "what follows joint training / one pass",
        partial(passes, timed=True),
        2.0,
        "the same run, with pictures, model folder and nine saved states",
    ),
    "conversion": Measurement(
        "convert / one pass over its images", conversion, 1.15, "2,800 images of 64 px, resnet18, no report"
    ),
    "patches-conversion": Measurement(
        "convert --patches / one pass over its images",
        partial(conversion, patches=True),
        None,
        "420 images of 128 px",
    ),
    "many-prototypes": Measurement(
        "KMEx clustering, K = 50 / one forward pass",
        partial(clustering, per_class=50),
        1.15,
        "60,000 images 28 px, small encoder",
    ),
}

if __name__ == "__main__":
    print_table(MEASUREMENTS, __doc__)
