"""The base of all measures: a metric of torchmetrics that also reports what it had to leave out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from resemblance.config.definition import Definition
from resemblance.config.errors import UserError
from resemblance.prototypes.precision import widest


class Measure(Metric):
    """A metric whose definition can differ between this library, the paper and the released code.

    States are sums, so that results do not depend on batches and processes. What is undefined is left out of the
    result and counted.

    Args:
        definition: ``"default"``, the formula as it is meant; ``"paper"``, as it is printed; ``"released"``, as the
            authors' code computes it. Only those in `definitions` exist.

    Attributes:
        definitions: the definitions that differ for this metric.
        counts: the names of the states that `counted` reports.

    Raises:
        UserError: if the metric has no such definition.

    Example:
        >>> from resemblance.metrics import Ghosting
        >>> Ghosting.definitions, Ghosting.nearest_definition("released")
        (('default', 'paper'), 'default')
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better: bool | None = None
    definitions: ClassVar[tuple[Definition, ...]] = ("default",)
    counts: ClassVar[tuple[str, ...]] = ()

    def __init__(self, definition: Definition = "default") -> None:
        super().__init__()
        if definition not in self.definitions:
            raise UserError(
                f"{type(self).__name__} has no definition {definition!r}; choose {' or '.join(self.definitions)}"
            )
        self.definition = definition

    @classmethod
    def nearest_definition(cls, wanted: Definition) -> Definition:
        """Return the wanted definition where this metric has it, otherwise the default."""
        return wanted if wanted in cls.definitions else "default"

    def add_sum(self, name: str, *shape: int, dtype: torch.dtype = torch.int64) -> None:
        """Declare a state of zeros, which is added up over batches and processes."""
        self.add_state(name, torch.zeros(shape, dtype=dtype), dist_reduce_fx="sum")

    def accumulate(self, **values: Tensor | int) -> None:
        """Add values to states, wherever both are; dtypes are those of the states."""
        for name, value in values.items():
            state = getattr(self, name)
            state += value.to(state.device) if isinstance(value, Tensor) else value

    def counted(self) -> dict[str, int]:
        """Return how many cases were measured, left out or special, by name, over all processes."""
        with self.synchronized():
            return {name: int(getattr(self, name)) for name in self.counts}

    @contextmanager
    def synchronized(self) -> Iterator[None]:
        """Add up the states of all processes inside the block, as `compute` does; all processes must enter it."""
        alone = self._is_synced  # inside of `compute`
        with self.sync_context(
            dist_sync_fn=self.dist_sync_fn,
            should_sync=self._to_sync and not alone,
            should_unsync=self._should_unsync and not alone,
        ):
            yield


class MeanMeasure(Measure):
    """A mean over images or pairs, with its standard deviation.

    Example:
        >>> class Mean(MeanMeasure):
        ...     def update(self, values: Tensor) -> None:
        ...         self.add_values(values)
        >>> mean = Mean()
        >>> mean.update(torch.tensor([1.0, 3.0]))
        >>> mean.compute().item(), mean.deviation().item(), mean.counted()
        (2.0, 1.0, {'measured': 2})
    """

    counts: ClassVar[tuple[str, ...]] = ("measured",)

    total: Tensor
    squares: Tensor
    measured: Tensor

    def __init__(self, definition: Definition = "default") -> None:
        super().__init__(definition)
        self.add_sum("total", dtype=torch.float64)
        self.add_sum("squares", dtype=torch.float64)
        self.add_sum("measured")

    def add_values(self, values: Tensor) -> None:
        """Add finite values to the mean."""
        wide = values.to(widest(values.device))
        self.accumulate(total=wide.sum(), squares=wide.square().sum(), measured=values.numel())

    def compute(self) -> Tensor:
        """Return the mean, float64; NaN if nothing was measured."""
        return self.total / self.measured

    def deviation(self) -> Tensor:
        """Return the standard deviation of the values themselves (not of their mean); NaN if there are none."""
        with self.synchronized():
            mean = self.total / self.measured
            return (self.squares / self.measured - mean.square()).clamp_min(0).sqrt()
