"""Hooks around each training step, for methods."""

from __future__ import annotations

from torch import Tensor

from resemblance.core.output import Output
from resemblance.core.training_step import TrainingStep


class TrainingHooks:
    """Three hooks that the training engine calls; they do nothing unless a method overrides them."""

    def before_step(self, step: TrainingStep) -> None:
        """Prepare for a batch, given the place in training: for anything that follows a schedule."""

    def update_without_grad(self, output: Output, labels: Tensor) -> None:
        """Update tensors without gradient from a training batch's output, before the optimiser's step."""

    def after_step(self) -> None:
        """Restore constraints after an optimiser step, for instance the length of prototypes; without gradient."""
