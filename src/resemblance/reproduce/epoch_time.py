"""Measure the time of an epoch of training by its first steps, without keeping anything of it."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from resemblance.core.recipe import Stage
from resemblance.core.training_step import TrainingStep
from resemblance.data.augment import get_augment
from resemblance.data.batch import Batch, EncodedBatch
from resemblance.data.compress import JpegAugment
from resemblance.data.dataset import ImageDataset
from resemblance.reproduce.budget import Cost
from resemblance.reproduce.task import Task
from resemblance.runs.keywords import train_options
from resemblance.runs.messages import Messages
from resemblance.runs.training_run import prepare_training
from resemblance.training.cached.cached_outputs import compute_output
from resemblance.training.engine.fit import CheckedRun, apply_config
from resemblance.training.engine.module import train_mode
from resemblance.training.engine.optimizers import OptimizerState, build_optimizer, freeze_others
from resemblance.training.engine.stage_data import StageData
from resemblance.training.engine.state import RunState

WARM, TIMED = 1, 8  # steps
ENOUGH = 10.0  # seconds for a stage
MORE = 1.15  # for validation after each epoch, and what else an epoch has


def measure_epoch(task: Task) -> Cost:
    """Measure the seconds of an epoch, the mean over the epochs of the recipe, and count these.

    Args:
        task: a training; its folder is not touched.

    Raises:
        UserError: if its data or its options are not valid.
    """
    keywords = {name: value for name, value in task.options.items() if name not in ("data", "report")}
    data = task.options["data"]
    with TemporaryDirectory() as folder:
        config, options = train_options(
            task.subjects[0], None, keywords | {"seed": task.seed or 0}, data, folder
        )
        checked = prepare_training(config, options, data, None, Path(folder), Messages()).checked
        job = checked.job
        planned = apply_config(job.model.recipe(), job.config).epochs  # small data may lengthen some stages
        seconds = sum(
            stage.epochs * _epoch_seconds(checked, stage)
            for stage in job.recipe.stages
            if stage.epochs and stage.groups
        )
    return Cost(MORE * seconds / max(1, planned), planned)


def _epoch_seconds(checked: CheckedRun, stage: Stage) -> float:
    """Measure an epoch of a stage; without the encoder where what it computes is kept."""
    job = checked.job
    model, recipe, images = job.model, job.recipe, len(job.splits.train)
    device = checked.distributed.device
    jpeg = JpegAugment(job.config.jpeg_augment, job.config.jpeg_quality)
    dataset = ImageDataset(job.splits.train, model.spec.image, get_augment(recipe.augment), jpeg=jpeg)
    size = min(recipe.batch_size, images)
    steps = -(-images // size)
    fast = StageData(job, checked.distributed).is_fast(stage, RunState(job.identity, {}))
    model.to(device)
    freeze_others(model, stage)
    optimizer = build_optimizer(model, stage, OptimizerState())
    train_mode(model)
    order = np.random.default_rng(0).permutation(images)
    times: list[float] = []
    end = time.monotonic() + ENOUGH
    while len(times) <= WARM or (len(times) < WARM + TIMED and time.monotonic() < end):
        started = time.monotonic()
        first = len(times) * size % max(1, images - size + 1)
        batch: Batch | EncodedBatch = dataset.__getitems__([(0, int(i)) for i in order[first : first + size]])
        batch = Batch(*(tensor.to(device) for tensor in batch))
        if fast and model.encodes:
            with torch.no_grad():
                batch = EncodedBatch(model.encode(batch.images), batch.labels, batch.indices)
            started = time.monotonic()
        model.before_step(TrainingStep(stage.name, 0, stage.epochs, 0, len(times), steps, 0))
        terms = model.loss(compute_output(model, batch), batch.labels)
        loss = torch.stack([term.float() for term in terms.values()]).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        float(loss.detach())  # waits for the device
        times.append(time.monotonic() - started)
    return steps * float(np.median(times[WARM:]))
