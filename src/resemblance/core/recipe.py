"""Recipes: training schedules as data."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

# The papers' frozen stages are some epochs of thousands of steps each. On a small set these epochs would be a handful
# of steps, which leave prototypes almost where they started.
LEAST_FROZEN_STEPS = 200


@dataclass(frozen=True)
class Schedule:
    """The learning rate schedule of a stage.

    ``step`` multiplies the rate by ``gamma`` after every ``size`` epochs in which a group was trained, counted over
    all stages since its state was last reset; the count starts at ``first``. ``cosine`` decays over the stage, step by
    step, to ``floor`` times the rate; it is repeated ``cycles`` times, and with ``part`` the stage is that part of a
    longer decay, so that several stages can share one. ``milestones`` multiplies by ``gamma`` at each of these shares
    of the stage, which scale with its epochs. In the first share ``warmup`` of the stage the rate also rises linearly.
    """

    kind: Literal["constant", "step", "cosine", "milestones"] = "constant"
    size: int = 5
    gamma: float = 0.1
    first: int = 0
    floor: float = 0.0
    milestones: tuple[float, ...] = ()
    part: tuple[float, float] = (0.0, 1.0)
    cycles: int = 1
    warmup: float = 0.0


@dataclass(frozen=True)
class Group:
    """Learning rate and weight decay of a parameter group in a stage, and its own schedule, if it has one."""

    lr: float
    weight_decay: float = 0.0
    schedule: Schedule | None = None


@dataclass(frozen=True)
class Stage:
    """A part of training with the same groups, optimiser and schedule.

    Args:
        name: shown in logs and messages; unique within the recipe.
        epochs: number of passes over the training images.
        groups: parameter groups that are trained, by name; all other parameters are frozen.
        optimizer: ``adam``, ``adamw`` or ``sgd``.
        momentum: the momentum of ``sgd``.
        schedule: the learning rate schedule.
        end: end actions, run after the last epoch: ``assign``, ``project``, ``prune``, ``prune_tree``, ``merge``,
            ``cluster``, ``relevance``, ``usage``.
        fresh: reset optimiser state and schedule of all groups, or of those named, instead of keeping them.
        select: with ``best`` the stage ends with the weights of its best epoch on the validation images.
        candidate: whether the model after this stage is a candidate for the final model, chosen on validation.
        scales: whether ``--epochs`` scales this stage.
        measured: whether to note the validation accuracy after this stage and its end actions.
        clearly: whether this candidate replaces an earlier one only if it is better by more than a standard error.
        chooses: whether to choose among the candidates so far before this stage, which then starts from the best.
        least_steps: optimiser steps that the stage makes at least; a small training set gets more epochs for it.
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
    clearly: bool = False
    chooses: bool = False
    least_steps: int = 0

    def forgets(self, group: str) -> bool:
        """Check whether a group's optimiser state and schedule are reset."""
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
        """The number of epochs of the stages that ``--epochs`` scales."""
        return sum(stage.epochs for stage in self.stages if stage.scales)

    def scaled(self, epochs: int | None) -> Recipe:
        """Return the recipe with its stages scaled to ``epochs`` in all.

        Stages that do not scale become shorter in proportion but never longer; a stage with epochs keeps at least one.
        """
        if epochs is None or self.epochs == 0:
            return self
        factor = epochs / self.epochs
        stages, original, scaled = [], 0, 0
        for stage in self.stages:
            if stage.scales:
                # The running total is rounded, so that the sum is exact.
                original += stage.epochs
                count = round(original * factor) - scaled
                count = max(count, 1) if stage.epochs and epochs else count
                scaled += count
            else:
                count = round(stage.epochs * min(factor, 1.0))
                count = max(count, 1) if stage.epochs and epochs else count
            stages.append(replace(stage, epochs=max(count, 0)))
        return replace(self, stages=tuple(stages))

    def lengthened(self, steps: int) -> Recipe:
        """Return the recipe with at least ``least_steps`` in each stage that is trained, given the steps per epoch.

        Example:
            >>> recipe = Recipe((Stage("warm", 5, {"head": Group(1e-3)}, least_steps=200), Stage("joint", 15, {})))
            >>> [stage.epochs for stage in recipe.lengthened(3).stages]
            [67, 15]
        """
        stages = [
            replace(stage, epochs=max(stage.epochs, -(-stage.least_steps // max(steps, 1))))
            if stage.epochs and stage.groups
            else stage
            for stage in self.stages
        ]
        return replace(self, stages=tuple(stages))

    def without(self, groups: Collection[str]) -> Recipe:
        """Return the recipe without training these parameter groups; a stage that trains nothing else has no epochs.

        Example:
            >>> both = {"encoder": Group(1e-4), "head": Group(1e-3)}
            >>> recipe = Recipe((Stage("a", 5, both), Stage("b", 5, {"encoder": Group(1e-4)}, end=("project",))))
            >>> [(stage.epochs, list(stage.groups)) for stage in recipe.without({"encoder"}).stages]
            [(5, ['head']), (0, [])]
        """
        stages = []
        for stage in self.stages:
            kept = {name: group for name, group in stage.groups.items() if name not in groups}
            fresh = (
                stage.fresh if isinstance(stage.fresh, bool) else tuple(n for n in stage.fresh if n in kept)
            )
            epochs = stage.epochs if kept or not stage.groups else 0
            stages.append(replace(stage, epochs=epochs, groups=kept, fresh=fresh))
        return replace(self, stages=tuple(stages))
