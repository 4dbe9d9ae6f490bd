"""Where in a run a training step is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingStep:
    """The place of a training step; what a method does by a schedule is a function of it.

    Args:
        stage: name of the stage.
        epoch: of the stage, from 0.
        epochs: of the stage in all.
        before: epochs of the stages before it.
        step: optimiser step within the epoch, from 0.
        steps: optimiser steps an epoch.
        micro: batch within the optimiser step, from 0; above 0 only where gradients are accumulated.

    Example:
        >>> moment = TrainingStep("joint", epoch=2, epochs=10, before=5, step=30, steps=60)
        >>> moment.first, moment.run_epoch, moment.progress
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
        """Whether an epoch begins."""
        return self.step == 0 and self.micro == 0

    @property
    def run_epoch(self) -> int:
        """Epochs of the run that are over."""
        return self.before + self.epoch

    @property
    def progress(self) -> float:
        """Share of the stage that is over, in [0, 1)."""
        return (self.epoch + self.step / self.steps) / self.epochs
