"""Measure what an evaluation costs beyond the forward passes and maps that it asks for.

    python benchmarks/evaluation.py [--json FILE] [--only NAME ...] [--quick]

A whole evaluation of 1000 images of 32 pixels with 50 prototypes is timed, and its counted work is priced: each image
that the model classifies at the price of a plain forward pass, each map at that of making maps alone, each gradient
at that of a forward and a backward pass, all in batches of the same size. The ratio of both is printed with the budget.
Prices are measured before and after the evaluation, and their mean is taken.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from resemblance.config.evaluation.measure_names import SETS
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data import ArraySource, ImageDataset, loader
from resemblance.methods.registry import build
from resemblance.metrics.suite.runner import measure
from resemblance.metrics.suite.subject import Settings, Subject
from resemblance.relevance.maps import class_maps, prototype_maps
from resemblance.reproduce.machine import describe_machine
from resemblance.training.ends.usage import count_usage

CLASSES, PER_CLASS, SIZE, BATCH, IMAGES = 10, 5, 32, 128, 1000
BUDGET = 1.2
KINDS = ("prp", "similarity")


def spec() -> ModelSpec:
    """Ten classes of grey images of 32 pixels."""
    return ModelSpec(tuple(map(str, range(CLASSES))), ImageSpec(SIZE, SIZE, 1, (0.3,), (0.3,)))


def source(count: int, seed: int) -> ArraySource:
    """Images of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 1), dtype=np.uint8)
    return ArraySource(pixels, np.arange(count) % CLASSES, spec().classes)


def model_of(method: str, encoder: str) -> Classifier:
    """An untrained model with 50 prototypes, whose usage is counted."""
    torch.manual_seed(0)
    config = {} if method == "blackbox" else {"prototypes_per_class": PER_CLASS}
    model = build(method, {"encoder": encoder, **config}, spec()).eval()
    if isinstance(model, PrototypeModel):
        count_usage(model, loader(ImageDataset(source(200, 2), spec().image), BATCH))
    return model


def seconds(work: Callable[[], Any], least: float) -> float:
    """The mean duration of a piece of work that is repeated for some seconds, after one that warms up."""
    work()
    count, start = 0, time.perf_counter()
    while count < 3 or time.perf_counter() - start < least:
        work()
        count += 1
    return (time.perf_counter() - start) / count


def prices(subject: Subject, least: float) -> dict[str, float]:
    """Seconds per image of each kind of work, in batches of 128."""
    model, black_box, kind = subject.model, subject.black_box, subject.kind
    images = torch.rand(BATCH, 1, SIZE, SIZE)
    own = torch.arange(PER_CLASS).expand(BATCH, -1)
    classes = torch.zeros(BATCH, dtype=torch.int64)
    class_kind = "smoothgrad" if subject.settings.maps == "similarity" else subject.settings.maps

    def forward(which: Classifier) -> Callable[[], Any]:
        def work() -> None:
            with torch.no_grad():
                which(images)

        return work

    def gradient() -> None:
        wanted = images.clone().requires_grad_(True)
        torch.autograd.grad(model(wanted).similarities[:, 0].sum(), wanted)

    explains = subject.explains
    assert explains is not None
    priced = {
        "forward": seconds(forward(model), least) / BATCH,
        "gradients": seconds(gradient, least) / BATCH,
        "prototype_maps": seconds(lambda: prototype_maps(explains, images, own, kind), least) / own.numel(),
        "class_maps": seconds(lambda: class_maps(model, images, classes, class_kind), least) / BATCH,
    }
    if black_box is not None:
        priced["black_box"] = seconds(forward(black_box), least) / BATCH
        priced["black_box_maps"] = (
            seconds(lambda: class_maps(black_box, images, classes, class_kind), least) / BATCH
        )
    return priced


def evaluation(method: str, encoder: str, maps: str, quick: bool) -> dict[str, Any]:
    """Time one evaluation and price its work."""
    count = 128 if quick else IMAGES
    settings = Settings(maps=maps, batch_size=BATCH)
    subject = Subject(
        "run",
        model_of(method, encoder),
        source(count, 0),
        settings,
        train=source(count, 1),
        black_box=model_of("blackbox", encoder) if maps == "prp" else None,
    )
    names = ("calibration", *SETS["paper"])
    least = 0.2 if quick else 2.0
    before = prices(subject, least)
    start = time.perf_counter()
    result = measure(subject, names)
    taken = time.perf_counter() - start
    after = prices(subject, least)
    cost = result.cost.to_dict()
    priced = sum(number * (before[name] + after[name]) / 2 for name, number in cost.items() if number)
    return {
        "what": f"evaluation, {method}, {encoder}, {maps} maps",
        "seconds": taken,
        "priced": priced,
        "ratio": taken / priced,
        "budget": BUDGET,
        "cost": cost,
        "prices": before,
    }


CASES = {
    "protopnet small prp": ("protopnet", "small", "prp"),
    "kmex small prp": ("kmex", "small", "prp"),
    "protopnet small similarity": ("protopnet", "small", "similarity"),
    "protopnet resnet18 prp": ("protopnet", "resnet18", "prp"),
}


def main() -> None:
    """Print the ratios, and write them as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES)[:3])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="few images: to try the script")
    options = parser.parse_args()
    print(describe_machine())
    print(f"{'what':48} {'seconds':>9} {'priced':>9} {'ratio':>7} {'budget':>7}")
    rows = []
    for name in options.only:
        row = evaluation(*CASES[name], options.quick)
        rows.append(row)
        numbers = f"{row['seconds']:9.1f} {row['priced']:9.1f} {row['ratio']:7.3f} {row['budget']:7.2f}"
        print(f"{row['what']:48} {numbers}  {row['cost']}", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"machine": describe_machine(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
