"""A paper's training schedule as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal


@dataclass(frozen=True)
class Schedule:
    """How the rates of a stage change.

    ``step`` multiplies by ``gamma`` after each ``size`` epochs that a group was trained, counted over all
    stages since its state was last fresh; ``first`` epochs are counted as already over. ``cosine`` falls
    over the stage, step by step, to ``floor`` times the rate; with ``cycles`` it starts anew so many times, and with
    ``part`` the stage is that part of a longer fall, so that several stages share one. ``milestones`` multiplies by
    ``gamma`` at each of these shares of the stage, which scale with its epochs.
    """

    kind: Literal["constant", "step", "cosine", "milestones"] = "constant"
    size: int = 5
    gamma: float = 0.1
    first: int = 0
    floor: float = 0.0
    milestones: tuple[float, ...] = ()
    part: tuple[float, float] = (0.0, 1.0)
    cycles: int = 1


@dataclass(frozen=True)
class Group:
    """A named parameter group's learning rate and weight decay in a stage, and its own schedule, if it has one."""

    lr: float
    weight_decay: float = 0.0
    schedule: Schedule | None = None


@dataclass(frozen=True)
class Stage:
    """A stretch of training with the same groups, optimiser and schedule.

    Args:
        name: shown in logs and messages; unique within the recipe.
        epochs: passes over the training images.
        groups: parameter groups that train, by name; all other parameters are frozen.
        optimizer: ``adam``, ``adamw`` or ``sgd``.
        momentum: of ``sgd``.
        schedule: how the rates change.
        end: actions after the last epoch, of ``assign``, ``project``, ``prune``, ``prune_tree``, ``merge``,
            ``cluster``, ``relevance``, ``usage``.
        fresh: forget optimiser state and schedule of the groups, or of those named, instead of carrying them over.
        select: ``best`` ends the stage with the weights of its best epoch on validation.
        candidate: the model after this stage competes, on validation, to be the final one.
        scales: whether ``--epochs`` scales this stage.
        measured: a note tells the accuracy on validation after this stage and its end actions.
    """

    name: str
    epochs: int
    groups: Mapping[str, Group]
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    momentum: float = 0.0
    schedule: Schedule = field(default_factory=Schedule)
    end: tuple[str, ...] = ()
    fresh: bool | tuple[str, ...] = False
    select: Literal["last", "best"] = "last"
    candidate: bool = False
    scales: bool = True
    measured: bool = False

    def forgets(self, group: str) -> bool:
        """Whether a group's optimiser state and schedule begin anew."""
        return self.fresh if isinstance(self.fresh, bool) else group in self.fresh


@dataclass(frozen=True)
class Recipe:
    """The stages of a training run, its batch size and its augmentation.

    Example:
        >>> recipe = Recipe((Stage("a", 5, {}), Stage("b", 15, {})))
        >>> [stage.epochs for stage in recipe.scaled(4).stages]
        [1, 3]
    """

    stages: tuple[Stage, ...]
    batch_size: int = 128
    augment: str = "none"

    @property
    def epochs(self) -> int:
        """Epochs of the stages that ``--epochs`` scales."""
        return sum(stage.epochs for stage in self.stages if stage.scales)

    def scaled(self, epochs: int | None) -> Recipe:
        """The same recipe with its stages stretched or shrunk to ``epochs`` in all.

        Stages that do not scale shrink in proportion but never grow; a stage with epochs keeps at least one.
        """
        if epochs is None or self.epochs == 0:
            return self
        factor = epochs / self.epochs
        stages, done, given = [], 0, 0
        for stage in self.stages:
            if stage.scales:
                # Rounding the running total keeps the sum right.
                done += stage.epochs
                count = round(done * factor) - given
                count = max(count, 1) if stage.epochs and epochs else count
                given += count
            else:
                count = round(stage.epochs * min(factor, 1.0))
                count = max(count, 1) if stage.epochs and epochs else count
            stages.append(replace(stage, epochs=max(count, 0)))
        return replace(self, stages=tuple(stages))
