"""Which images each optimiser step sees: a function of (seed, stage, step)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler

from resemblance.config.errors import UserError
from resemblance.training.engine.randomness import Purpose, derive


@dataclass(frozen=True)
class Plan:
    """How an epoch over ``images`` divides into steps, processes and micro-batches.

    Args:
        images: number of training images.
        batch: images an optimiser step, over all processes and micro-batches.
        world: processes.
        accumulate: micro-batches an optimiser step.
    """

    images: int
    batch: int
    world: int = 1
    accumulate: int = 1

    @property
    def steps(self) -> int:
        """Optimiser steps an epoch; the last, incomplete batch is left out."""
        return self.images // self.batch

    @property
    def micro(self) -> int:
        """Images that one process sees at a time."""
        return self.batch // (self.world * self.accumulate)


def plan(images: int, batch: int, world: int = 1, accumulate: int = 1) -> Plan:
    """Divide an epoch; a set smaller than a batch makes one smaller batch.

    Raises:
        UserError: if the batch does not divide evenly, or there are too few images.

    Example:
        >>> plan(1000, 128).steps, plan(50, 128).batch, plan(1000, 128, world=2, accumulate=4).micro
        (7, 50, 16)
    """
    parts = world * accumulate
    if batch % parts:
        raise UserError(
            f"a batch of {batch} images does not divide into {world} devices × {accumulate} micro-batches; "
            f"choose --batch-size {max(batch // parts, 1) * parts}"
        )
    if images < parts:
        raise UserError(f"{images} training images are too few for {world} devices × {accumulate} parts")
    return Plan(images, min(batch, images - images % parts), world, accumulate)


class StepBatches(Sampler[list[tuple[int, int]]]):
    """Micro-batches of (epoch, image index) for one process, from the step that the run has reached.

    Args:
        plan: how an epoch divides.
        seed: the run's seed.
        stage: number of the stage in the run.
        reached: tells how many optimiser steps of the stage are done.
        rank: this process.

    Example:
        >>> batches = StepBatches(plan(4, 2), seed=0, stage=0, reached=lambda: 3)
        >>> len(batches), [[epoch for epoch, _ in batch] for batch in batches]
        (2, [[1, 1]])
    """

    def __init__(self, plan: Plan, seed: int, stage: int, reached: Callable[[], int], rank: int = 0) -> None:
        self.plan, self.seed, self.stage, self.reached, self.rank = plan, seed, stage, reached, rank

    def __len__(self) -> int:
        return self.plan.steps * self.plan.accumulate

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        plan = self.plan
        epoch, done = divmod(self.reached(), plan.steps)
        seed = derive(Purpose.ORDER, self.seed, self.stage, epoch)
        order = np.random.default_rng(seed).permutation(plan.images)
        for step in range(done, plan.steps):
            batch = order[step * plan.batch : (step + 1) * plan.batch]
            # Micro-batch by micro-batch, so that the processes together see the same images at a time.
            for part in batch.reshape(plan.accumulate, plan.world, plan.micro)[:, self.rank]:
                yield [(epoch, int(index)) for index in part]


class Shares(Sampler[int]):
    """Every image once, dealt to the processes batch by batch, so that each batch is as one process makes it.

    Args:
        images: how many there are.
        batch: images a batch.
        rank: this process.
        world: processes.

    Example:
        >>> list(Shares(7, batch=2, rank=1, world=2))
        [2, 3, 6]
    """

    def __init__(self, images: int, batch: int, rank: int = 0, world: int = 1) -> None:
        starts = range(rank * batch, images, world * batch)
        self.indices = [index for start in starts for index in range(start, min(start + batch, images))]

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)
