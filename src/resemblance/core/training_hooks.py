"""What a method may do around each step of training."""

from __future__ import annotations

from torch import Tensor

from resemblance.core.output import Output
from resemblance.core.training_step import TrainingStep


class TrainingHooks:
    """Three hooks that the training engine calls; none does anything unless a method overrides it."""

    def before_step(self, step: TrainingStep) -> None:
        """Note where training is, before each batch: for what follows a schedule."""

    def update_without_grad(self, output: Output, labels: Tensor) -> None:
        """Update from a training batch's output what has no gradient, before the optimizer's step."""

    def after_step(self) -> None:
        """Restore what an optimizer step may have disturbed, such as the length of prototypes; without gradient."""
