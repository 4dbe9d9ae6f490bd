"""Measure what the head-on-stomach check costs beyond the passes of the model that it asks for.

    python benchmarks/head_on_stomach.py [--json FILE] [--images 200] [--steps 40] [--quick]

The whole check runs on a ProtoPNet with a resnet18 and 2000 prototypes, on images of 224 pixels. Every image that
passes the model is counted, with and without a gradient, and priced: as a plain forward pass of the model, and as a
forward and a backward pass down to the pixels, both in batches of the same size. The ratio of the time that the check
took and this price is printed with the budget. The price is measured before and after the check, and the mean is taken.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resemblance.audit.audit_runner import run_checks
from resemblance.audit.audited import AuditSettings, AuditSubject
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data import ArraySource
from resemblance.encoders.probe import without_gradients
from resemblance.methods.registry import build
from resemblance.reproduce.machine import describe_machine

CLASSES, PER_CLASS, SIZE, BATCH = 200, 10, 224, 16
BUDGET = 1.15


def model_of() -> PrototypeModel:
    """An untrained ProtoPNet with 2000 prototypes."""
    spec = ModelSpec(
        tuple(f"{c:03d}" for c in range(CLASSES)), ImageSpec(SIZE, SIZE, 3, (0.5,) * 3, (0.25,) * 3)
    )
    torch.manual_seed(0)
    model = build("protopnet", {"encoder": "resnet18", "prototypes_per_class": PER_CLASS}, spec).eval()
    assert isinstance(model, PrototypeModel)
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def seconds(work: Callable[[], Any], least: float) -> float:
    """The mean duration of a piece of work that is repeated for some seconds, after one that warms up."""
    work()
    synchronize()
    count, start = 0, time.perf_counter()
    while count < 3 or time.perf_counter() - start < least:
        work()
        synchronize()
        count += 1
    return (time.perf_counter() - start) / count


def synchronize() -> None:
    """Wait for the accelerator, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def prices(model: PrototypeModel, least: float) -> dict[str, float]:
    """Seconds per image of a forward pass, and of a forward and a backward pass."""
    images = torch.rand(BATCH, 3, SIZE, SIZE, device=model.device)

    def forward() -> None:
        with torch.no_grad():
            model(images)

    def both() -> None:
        wanted = images.clone().requires_grad_(True)
        torch.autograd.grad(model(wanted).similarities.sum(), wanted)

    with without_gradients(model):
        return {"plain": seconds(forward, least) / BATCH, "gradient": seconds(both, least) / BATCH}


@contextmanager
def counted(model: PrototypeModel) -> Iterator[Counter[str]]:
    """Count the images that pass the encoder, with and without a gradient."""
    passes: Counter[str] = Counter()
    latents = model.latents

    def counting(images: Tensor) -> Tensor:
        passes["gradient" if images.requires_grad else "plain"] += len(images)
        return latents(images)

    model.latents = counting  # type: ignore[method-assign]
    try:
        yield passes
    finally:
        del model.latents


def measured(images: int, steps: int, least: float) -> dict[str, Any]:
    """Time the check, and price its passes."""
    model = model_of()
    pixels = np.random.default_rng(0).integers(0, 256, (images, SIZE, SIZE, 3), dtype=np.uint8)
    source = ArraySource(pixels, np.zeros(images, dtype=np.int64), model.spec.classes)
    settings = AuditSettings(attacked=images, batch_size=BATCH, steps=steps, examples=0)
    subject = AuditSubject("benchmark", model, source, labelled=False, settings=settings)
    before = prices(model, least)
    with counted(model) as passes:
        start = time.perf_counter()
        [finding] = run_checks(subject, ["head-on-stomach"]).findings
        synchronize()
        taken = time.perf_counter() - start
    after = prices(model, least)
    priced = sum(number * (before[kind] + after[kind]) / 2 for kind, number in passes.items())
    return {
        "images": images,
        "steps": steps,
        "seconds": taken,
        "priced": priced,
        "ratio": taken / priced,
        "budget": BUDGET,
        "passes": dict(passes),
        "attacks": finding.details["attacks"],
        "rate": finding.values[0].value,
    }


def main() -> None:
    """Print the ratio, and write it as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--steps", type=int, default=40, help="steps of an attack; fewer save time")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="16 images, 3 steps: to try the script")
    options = parser.parse_args()
    print(describe_machine())
    row = measured(16, 3, 0.5) if options.quick else measured(options.images, options.steps, 5.0)
    print(
        f"{row['images']} images, {row['attacks']} attacks of {row['steps']} steps, {row['passes']}: "
        f"{row['seconds']:.1f} s, priced {row['priced']:.1f} s, ratio {row['ratio']:.3f}, budget {row['budget']}"
    )
    if options.json:
        options.json.write_text(json.dumps({"machine": describe_machine(), **row}, indent=2) + "\n")


if __name__ == "__main__":
    main()
