"""The images of each optimiser step: a function of (seed, stage, step)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from resemblance.config.errors import UserError
from resemblance.training.engine.randomness import Purpose, derive

# An image that is drawn again in an epoch is augmented as in another epoch, of which the numbers have 16 bits.
AUGMENTED_AGAIN, EPOCHS = 7919, 1 << 16


@dataclass(frozen=True)
class Plan:
    """The division of an epoch over ``images`` into steps, processes and micro-batches.

    Args:
        images: number of training images.
        batch: images per optimiser step, over all processes and micro-batches.
        world: number of processes.
        accumulate: micro-batches per optimiser step.
    """

    images: int
    batch: int
    world: int = 1
    accumulate: int = 1

    @property
    def steps(self) -> int:
        """The number of optimiser steps per epoch; the last, incomplete batch is left out."""
        return self.images // self.batch

    @property
    def micro(self) -> int:
        """The number of images in a micro-batch of one process."""
        return self.batch // (self.world * self.accumulate)


def plan(images: int, batch: int, world: int = 1, accumulate: int = 1) -> Plan:
    """Divide an epoch into steps; a set smaller than a batch makes one smaller batch.

    Raises:
        UserError: if the batch cannot be divided evenly, or there are too few images.

    Example:
        >>> plan(1000, 128).steps, plan(50, 128).batch, plan(1000, 128, world=2, accumulate=4).micro
        (7, 50, 16)
    """
    parts = world * accumulate
    if batch % parts:
        raise UserError(
            f"a batch of {batch} images cannot be divided into {world} devices × {accumulate} micro-batches; "
            f"choose --batch-size {max(batch // parts, 1) * parts}"
        )
    if images < parts:
        raise UserError(
            f"{images} training images are too few for {world} devices × {accumulate} micro-batches"
        )
    return Plan(images, min(batch, images - images % parts), world, accumulate)


class StepBatches(Sampler[list[tuple[int, int]]]):
    """Micro-batches of (epoch, image index) for one process, from the step that the run has steps_done.

    Args:
        plan: how an epoch is divided.
        seed: the seed of the run.
        stage: the number of the stage in the run.
        steps_done: returns how many optimiser steps of the stage are done.
        rank: the rank of this process.
        labels: (N,) of the images, to draw all classes equally often; None to draw every image once.

    Example:
        >>> batches = StepBatches(plan(4, 2), seed=0, stage=0, steps_done=lambda: 3)
        >>> len(batches), [[epoch for epoch, _ in batch] for batch in batches]
        (2, [[1, 1]])
    """

    def __init__(
        self,
        plan: Plan,
        seed: int,
        stage: int,
        steps_done: Callable[[], int],
        rank: int = 0,
        labels: NDArray[np.int64] | None = None,
    ) -> None:
        self.labels = labels
        self.plan, self.seed, self.stage, self.steps_done, self.rank = plan, seed, stage, steps_done, rank

    def __len__(self) -> int:
        return self.plan.steps * self.plan.accumulate

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        plan = self.plan
        epoch, done = divmod(self.steps_done(), plan.steps)
        seed = derive(Purpose.ORDER, self.seed, self.stage, epoch)
        generator = np.random.default_rng(seed)
        if self.labels is None:
            order, epochs = generator.permutation(plan.images), np.full(plan.images, epoch)
        else:
            order, copies = balanced_order(self.labels, generator)
            epochs = (epoch + AUGMENTED_AGAIN * copies) % EPOCHS
        for step in range(done, plan.steps):
            batch = np.arange(step * plan.batch, (step + 1) * plan.batch)
            # Micro-batch by micro-batch, so that all processes together read the same images at a time as one would.
            for part in batch.reshape(plan.accumulate, plan.world, plan.micro)[:, self.rank]:
                yield [(int(epochs[place]), int(order[place])) for place in part]


def balanced_order(
    labels: NDArray[np.int64], generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return as many images as there are, in random order, with all classes equally often.

    Of a class, every image is drawn before one is drawn again.

    Args:
        labels: (N,).
        generator: of the random numbers.

    Returns:
        The indices of the images, and how often each was drawn before.

    Example:
        >>> order, copies = balanced_order(np.array([0, 0, 0, 0, 0, 1]), np.random.default_rng(0))
        >>> int((order == 5).sum()), sorted(copies[order == 5].tolist())
        (3, [0, 1, 2])
    """
    classes = generator.permutation(np.unique(labels))
    images: list[NDArray[np.int64]] = []
    copies: list[NDArray[np.int64]] = []
    for number, label in enumerate(classes):
        members = np.flatnonzero(labels == label)
        count = len(labels) // len(classes) + (number < len(labels) % len(classes))
        rounds = -(-count // len(members))
        drawn = np.concatenate([generator.permutation(members) for _ in range(rounds)])
        images.append(drawn[:count])
        copies.append((np.arange(rounds * len(members)) // len(members))[:count])
    mixed = generator.permutation(len(labels))
    return np.concatenate(images)[mixed], np.concatenate(copies)[mixed]
