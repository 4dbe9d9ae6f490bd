"""The base of all measurements: what one needs, what it is fed, and the result."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torchmetrics import Metric

from resemblance.metrics.suite.answers import Answers
from resemblance.metrics.suite.applicable import Applicable
from resemblance.metrics.suite.result import MeasureResult
from resemblance.metrics.suite.subject import Subject

Pass = Literal["train", "images", "none"]


class Measurement(Applicable[Subject]):
    """Feeds the metrics of one measure with the answers of a model, and puts their results in words.

    Its running state is that of the metrics among its attributes: sums, and lists with an entry per image. States can
    be saved between two batches, and those of batches that other processes have measured are merged.

    Args:
        subject: the model, and all that the measure reads.

    Attributes:
        over: the images that it reads: ``train``, ``images`` (those that are measured), or ``none``.
        most: the largest number of images that it reads; None for all.
    """

    over: ClassVar[Pass] = "images"
    most: ClassVar[int | None] = None

    @abstractmethod
    def update(self, answers: Answers) -> None:
        """Read the answers for a batch of images."""

    @abstractmethod
    def result(self) -> MeasureResult:
        """Return the result for all batches."""

    def metrics(self) -> dict[str, Metric]:
        """Return the metrics by the names of the attributes that hold them."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Metric)}

    def state(self) -> dict[str, Any]:
        """Return the running state: tensors and plain values."""
        return {name: state_of(metric) for name, metric in self.metrics().items()}

    def reset(self) -> None:
        """Forget all batches."""
        for metric in self.metrics().values():
            metric.reset()

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add the state that `state` returned after other batches, which follow those read so far."""
        for name, metric in self.metrics().items():
            merge_into(metric, state[name])


def state_of(metric: Metric) -> dict[str, Any]:
    """Return the states of a metric, in main memory.

    Example:
        >>> from torchmetrics import MeanMetric
        >>> first, second = MeanMetric(), MeanMetric()
        >>> first.update(torch.tensor([1.0, 3.0]))
        >>> merge_into(second, state_of(first))
        >>> second.compute()
        tensor(2.)
    """
    states: dict[str, Any] = {}
    for name in metric._defaults:
        value = getattr(metric, name)
        listed = isinstance(value, list)
        states[name] = (
            [item.detach().cpu().clone() for item in value] if listed else value.detach().cpu().clone()
        )
    return {"updates": metric._update_count, "states": states}


def merge_into(metric: Metric, state: Mapping[str, Any]) -> None:
    """Add the states of another metric of the same kind: sums are added, lists are continued."""
    for name, value in state["states"].items():
        known, device = getattr(metric, name), metric.device
        if isinstance(value, list):
            known.extend(item.to(device) for item in value)
        else:
            setattr(metric, name, known + value.to(device))
    metric._update_count += int(state["updates"])
    metric._computed = None


def item(value: Tensor) -> float:
    """Return a tensor of one number as a number; for results, after the last batch."""
    return float(value.detach().double().cpu())


def generator(*numbers: int) -> torch.Generator:
    """Return a generator of random numbers that depends on these numbers alone.

    Example:
        >>> a, b = torch.rand(2, generator=generator(3, 7)), torch.rand(2, generator=generator(3, 7))
        >>> torch.equal(a, b)
        True
    """
    seed = 0
    for value in numbers:
        seed = (seed * 1_000_003 + value + 0x9E3779B9) % (1 << 63)
    return torch.Generator().manual_seed(seed)
