"""What a second device costs and gains: a projection and an evaluation divided between two, without their start."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bare_encoder import BATCH, CLASSES, SIZE, pair
from timing import Measurement, print_table

from resemblance.data import ArraySource, ImageDataset, loader
from resemblance.metrics.evaluation import evaluate
from resemblance.training.devices.launch import using_devices
from resemblance.training.ends.projection import project

HOW = "200 classes x 10 prototypes, resnet18, 224 px, two processes / one"


def processor_times() -> list[float]:
    """The seconds of the processor that this process, and the one that helps it, have taken."""
    stats = [Path(f"/proc/{process.pid}/stat").read_text() for process in active_children()]
    ticks = [sum(map(int, stat.rpartition(")")[2].split()[11:13])) for stat in stats]
    return [time.process_time(), *(count / os.sysconf("SC_CLK_TCK") for count in ticks)]


def two_to_one(what: str, total: Callable[[list[float]], float], quick: bool) -> tuple[float, float]:
    """The median ratio of two processes to one over alternating rounds, and the median seconds of one.

    With ``sum``, of the work; with ``max``, of the process that works longer, for which the other waits: other work on
    the machine lengthens neither.
    """
    torch.set_num_threads(1)
    accelerator = "gpu" if torch.cuda.device_count() > 1 else "cpu"
    count = 64 if quick else 128
    pixels = np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)
    model = pair()[1].eval().to("cuda:0" if accelerator == "gpu" else "cpu")
    source = ArraySource(pixels, np.arange(count) % CLASSES, model.spec.classes)
    batches = loader(ImageDataset(source, model.spec.image), BATCH)

    def work() -> Any:
        return project(model, batches) if what == "projection" else evaluate(model, source, batch_size=BATCH)

    def seconds() -> float:
        work()  # warm: the other process has started and imported what it needs
        start = processor_times()
        work()
        return total([end - begin for begin, end in zip(start, processor_times(), strict=True)])

    ratios, alone = [], []
    for _ in range(1 if quick else 3):
        alone.append(seconds())
        with using_devices(accelerator, 2):
            ratios.append(seconds() / alone[-1])
    return statistics.median(ratios), statistics.median(alone)


def measurement(what: str, total: Callable[[list[float]], float], goal: float) -> Measurement:
    """A row of the table."""
    title = {sum: "work of both", max: "the longer one"}[total]
    return Measurement(f"{what} on two devices, {title}", partial(two_to_one, what, total), goal, HOW)


MEASUREMENTS = {
    f"two devices, {what}, {total.__name__}": measurement(what, total, goal)
    for what in ("projection", "evaluation")
    for total, goal in ((sum, 1.10), (max, 0.70 if what == "projection" else 0.60))
}

if __name__ == "__main__":
    print_table(MEASUREMENTS, __doc__)
