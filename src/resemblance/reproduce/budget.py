"""Divide a budget of minutes among trainings: short ones run as a whole, long ones with fewer epochs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from resemblance.reproduce.task import Task, read_record_file
from resemblance.runs.messages import Messages

SEED = re.compile(r"seed-\d+")


@dataclass(frozen=True)
class Cost:
    """What a training costs.

    Args:
        seconds: per epoch.
        epochs: of the whole recipe.
    """

    seconds: float
    epochs: int


class Budget:
    """Decides, when a training is about to begin, with how many epochs.

    The trainings that are left get equal shares of the time that is left, so that what short ones leave is used by
    those after them. All seeds of a training have the same epochs.

    Args:
        minutes: for all that is run.
        measure: measures the cost of a training by its first steps.
        messages: receives a line about each decision.
        clock: returns seconds.

    Example:
        >>> from pathlib import Path
        >>> tasks = [Task(name, "train", (name,), {}, Path(name)) for name in ("short", "long")]
        >>> costs = {"short": Cost(2.0, 10), "long": Cost(1.0, 1500)}
        >>> budget = Budget(2, lambda task: costs[task.name], Messages(), clock=lambda: 0.0)
        >>> [budget.epochs(task, tasks) for task in tasks]
        [None, (60, 1500)]
    """

    def __init__(
        self,
        minutes: float,
        measure: Callable[[Task], Cost],
        messages: Messages,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.minutes, self.measure, self.messages, self.clock = minutes, measure, messages, clock
        self._end = clock() + 60 * minutes
        self._decided: dict[tuple[str, ...], tuple[int, int] | None] = {}

    def epochs(self, task: Task, left: Sequence[Task]) -> tuple[int, int] | None:
        """Return the epochs to train and those of the recipe; None to train the whole recipe.

        Args:
            task: a training that was not begun.
            left: the tasks that are not finished, with this one.
        """
        key = _without_seed(task)
        if key not in self._decided:
            self._decided[key] = _of_other_seed(task) or self._decide(task, left)
        return self._decided[key]

    def _decide(self, task: Task, left: Sequence[Task]) -> tuple[int, int] | None:
        self.messages.say("measuring the time of an epoch")
        cost = self.measure(task)
        trainings = sum(other.verb == "train" for other in left)
        share = max(0.0, self._end - self.clock()) / max(1, trainings)
        if cost.seconds * cost.epochs <= share:
            return None
        return max(1, int(share / cost.seconds)), cost.epochs


def _without_seed(task: Task) -> tuple[str, ...]:
    """Return what the seeds of a training have in common."""
    return (*task.subjects, *(SEED.sub("seed", f"{name}={value}") for name, value in task.options.items()))


def _of_other_seed(task: Task) -> tuple[int, int] | None:
    """Return the shortened epochs of the same training with another seed, if it was begun."""
    for path in sorted(task.folder.parent.parent.glob(f"seed-*/{task.record_path.name}")):
        record = read_record_file(path)
        if record.epochs is not None and record.of_epochs is not None:
            return record.epochs, record.of_epochs
    return None
