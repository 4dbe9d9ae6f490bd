"""The place of a training step in a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingStep:
    """The place of a training step; schedules of a method are functions of it.

    Args:
        stage: name of the stage.
        epoch: epoch within the stage, from 0.
        epochs: number of epochs of the stage.
        before: number of epochs of the stages before it.
        step: optimiser step within the epoch, from 0.
        steps: optimiser steps per epoch.
        micro: micro-batch within the optimiser step, from 0; above 0 only where gradients are accumulated.

    Example:
        >>> step = TrainingStep("joint", epoch=2, epochs=10, before=5, step=30, steps=60)
        >>> step.first, step.run_epoch, step.progress
        (False, 7, 0.25)
    """

    stage: str
    epoch: int
    epochs: int
    before: int
    step: int
    steps: int
    micro: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the first micro-batch of an epoch."""
        return self.step == 0 and self.micro == 0

    @property
    def run_epoch(self) -> int:
        """The number of epochs of the run that are done."""
        return self.before + self.epoch

    @property
    def progress(self) -> float:
        """The share of the stage that is done, in [0, 1)."""
        return (self.epoch + self.step / self.steps) / self.epochs
