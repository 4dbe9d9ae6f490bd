"""Attribute coverage: how many attributes the nearest training images of the prototypes have, together."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from resemblance.metrics.measure import Measure


class AttributeCoverage(Measure):
    """The number of attributes that at least one prototype's nearest training image has; higher is better.

    A prototype is represented by the training image of its class that is nearest to it; ghosted ones count, too.

    Args:
        attributes: the number of attributes, A.

    Attributes:
        counts: prototypes; ghosted, those that were marked as ghosted.

    Source: Gautam et al. 2024 (KMEx), figure 5b.

    Example:
        >>> import torch
        >>> coverage = AttributeCoverage(3)
        >>> coverage.update(torch.tensor([[1, 0, 0], [0, 1, 0]]), ghosted=torch.tensor([False, True]))
        >>> coverage.compute().item(), coverage.counted()
        (2, {'prototypes': 2, 'ghosted': 1})
    """

    higher_is_better = True
    counts: ClassVar[tuple[str, ...]] = ("prototypes", "ghosted")

    captured: Tensor
    prototypes: Tensor
    ghosted: Tensor

    def __init__(self, attributes: int) -> None:
        super().__init__()
        self.add_sum("captured", attributes)
        self.add_sum("prototypes")
        self.add_sum("ghosted")

    def update(self, attributes: Tensor, ghosted: Tensor | None = None) -> None:
        """Add prototypes.

        Args:
            attributes: (K, A), 0 or 1, of the training image nearest to each prototype.
            ghosted: (K,) bool, prototypes that are never activated, see `Ghosting.ghosted`.
        """
        self.accumulate(captured=attributes.bool().sum(dim=0), prototypes=len(attributes))
        if ghosted is not None:
            self.accumulate(ghosted=ghosted.sum())

    def compute(self) -> Tensor:
        """Return the number of captured attributes, int64."""
        return (self.captured > 0).sum()

    def captured_by(self) -> Tensor:
        """Return how many prototypes have each attribute, (A,)."""
        with self.synchronized():
            return self.captured.clone()
