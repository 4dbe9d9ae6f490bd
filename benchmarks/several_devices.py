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


def processor_time() -> float:
    """The seconds of the processor that this process and those that help it have taken."""
    stats = [Path(f"/proc/{process.pid}/stat").read_text() for process in active_children()]
    ticks = [sum(map(int, stat.rpartition(")")[2].split()[11:13])) for stat in stats]
    return time.process_time() + sum(ticks) / os.sysconf("SC_CLK_TCK")


def two_to_one(what: str, clock: Callable[[], float], quick: bool) -> tuple[float, float]:
    """The median ratio of two processes to one over alternating rounds, and the median seconds of one."""
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
        start = clock()
        work()
        return clock() - start

    ratios, alone = [], []
    for _ in range(1 if quick else 3):
        alone.append(seconds())
        with using_devices(accelerator, 2):
            ratios.append(seconds() / alone[-1])
    return statistics.median(ratios), statistics.median(alone)


def measurement(what: str, title: str, clock: Callable[[], float], goal: float | None) -> Measurement:
    """A row of the table."""
    return Measurement(title, partial(two_to_one, what, clock), goal, HOW)


MEASUREMENTS = {
    "two devices, projection": measurement("projection", "projection, processor time", processor_time, 1.10),
    "two devices, projection, time": measurement(
        "projection", "projection, time that passes", time.perf_counter, 0.60
    ),
    "two devices, evaluation": measurement("evaluation", "evaluation, processor time", processor_time, 1.10),
    "two devices, evaluation, time": measurement(
        "evaluation", "evaluation, time that passes", time.perf_counter, 0.60
    ),
}

if __name__ == "__main__":
    print_table(MEASUREMENTS, __doc__)
