"""Bootstrap intervals over images."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

DRAWS = 1000
LEVEL = 0.95


class Interval(NamedTuple):
    """An interval of a value; NaN where it could not be computed."""

    low: float
    high: float


def bootstrap_interval(
    statistic: Callable[[Tensor], Tensor | float],
    images: int,
    *,
    groups: Tensor | None = None,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Return the percentile interval of a statistic over resampled images.

    Source: Efron & Tibshirani 1993, chapter 13. Draws whose statistic is NaN are left out.

    Args:
        statistic: computes the value for weights (N,) float64: how often each image was drawn.
        images: N.
        groups: (N,) int64; images are drawn within their group, for instance their class, so that no group is empty.
        draws: the number of resamples.
        level: the probability that the interval covers.
        seed: of the draws.

    Returns:
        NaN with fewer than two images, or if the statistic is always NaN.

    Example:
        >>> values = torch.arange(100.0)
        >>> low, high = bootstrap_interval(lambda weights: (weights * values).sum() / weights.sum(), 100)
        >>> 40 < low < 49.5 < high < 60
        True
    """
    nothing = Interval(float("nan"), float("nan"))
    if images < 2:
        return nothing
    generator = torch.Generator().manual_seed(seed)
    groups = torch.zeros(images, dtype=torch.int64) if groups is None else groups.cpu()
    members = groups.argsort(stable=True)
    _, inverse, sizes = torch.unique(groups[members], return_inverse=True, return_counts=True)
    starts = (sizes.cumsum(0) - sizes)[inverse]
    values = []
    for _ in range(draws):
        uniform = torch.rand(images, generator=generator, dtype=torch.float64)
        chosen = members[starts + (uniform * sizes[inverse]).long()]
        values.append(float(statistic(torch.bincount(chosen, minlength=images).double())))
    drawn = torch.tensor(values, dtype=torch.float64)
    drawn = drawn[~drawn.isnan()]
    if not len(drawn):
        return nothing
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = drawn.quantile(tails).tolist()
    return Interval(low, high)


def mean_interval(values: Tensor, *, seed: int = 0) -> Interval:
    """Return the bootstrap interval of the mean of values (N,), one per image; NaN entries are left out.

    Example:
        >>> mean_interval(torch.full((9,), 2.0))
        Interval(low=2.0, high=2.0)
    """
    rows = values[~values.isnan()].double().cpu()
    return bootstrap_interval(lambda weights: (weights @ rows) / weights.sum(), len(rows), seed=seed)
