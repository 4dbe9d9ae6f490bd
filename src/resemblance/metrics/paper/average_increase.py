"""Average increase: how often a similarity rises when only the pixels that a map marks are kept."""

from __future__ import annotations

from torch import Tensor

from resemblance.metrics.paper.average_drop import PairMeasure


def average_increase(clean: Tensor, kept: Tensor) -> Tensor:
    """Compute 1[O > Y] of each pair.

    Example:
        >>> import torch
        >>> average_increase(torch.tensor([2.0, 1.0, 4.0]), torch.tensor([1.5, 1.2, 4.0])).tolist()
        [0.0, 1.0, 0.0]
    """
    return (kept > clean).float()


class AverageIncrease(PairMeasure):
    """AI: the share of pairs whose similarity rises when only the most important half is kept; higher is better.

    A fraction, not ×100; equal similarities are no increase. Pairs are left out and counted as in `AverageDrop`.

    Source: Gautam et al. 2024 (KMEx), section 4.1 and table 4; Chattopadhay et al. 2018.

    Example:
        >>> import torch
        >>> increase = AverageIncrease()
        >>> increase.update(torch.tensor([2.0, 1.0, 4.0]), torch.tensor([1.5, 1.2, 4.0]))
        >>> round(increase.compute().item(), 6)
        0.333333
    """

    higher_is_better = True

    def pair_values(self, clean: Tensor, kept: Tensor) -> Tensor:
        """Return 1[O > Y]."""
        return average_increase(clean, kept)
