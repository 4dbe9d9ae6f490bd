"""The value of a measure with its interval, its trivial baselines and its counts."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from resemblance.data.regions.regions import Regions
from resemblance.metrics.since.bootstrap import Interval, mean_interval
from resemblance.metrics.since.hits import full_maps
from resemblance.metrics.since.trivial_baselines import place_scores

TOLERANCE = 15.0  # pixels of 224, for points


@dataclass(frozen=True)
class Summary:
    """The value of a measure, and all that it has to be read against.

    Args:
        name: the measure.
        value: NaN where nothing could be measured.
        interval: bootstrap interval of the value over images.
        higher_is_better: whether larger values are better; None where neither is.
        baselines: what explanations that know nothing score, by name.
        variants: other values from the same data, by name, for instance with a minimum number of images.
        counts: numbers of images, pairs, and of whatever was left out, by reason.
        intervals: bootstrap intervals of variants, by name, where there are any.
        definition: the definition that was computed.

    Example:
        >>> summary = Summary("consistency", 60.0, Interval(55.0, 64.0), True, {"best constant place": 61.5})
        >>> print(summary)
        consistency 60 [55, 64]; best constant place 61.5
    """

    name: str
    value: float
    interval: Interval
    higher_is_better: bool | None
    baselines: Mapping[str, float] = field(default_factory=dict)
    variants: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    definition: str = "default"

    def __str__(self) -> str:
        texts = [f"{self.name} {self.value:.4g} [{self.interval.low:.4g}, {self.interval.high:.4g}]"]
        texts += [f"{name} {value:.4g}" for name, value in {**self.variants, **self.baselines}.items()]
        return "; ".join(texts)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary; None instead of NaN."""
        return {
            "name": self.name,
            "value": _or_none(self.value),
            "interval": [_or_none(self.interval.low), _or_none(self.interval.high)],
            "higher_is_better": self.higher_is_better,
            "baselines": {name: _or_none(value) for name, value in self.baselines.items()},
            "variants": {name: _or_none(value) for name, value in self.variants.items()},
            "counts": dict(self.counts),
            "intervals": {name: [_or_none(end) for end in ends] for name, ends in self.intervals.items()},
            "definition": self.definition,
        }


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


class SummarizedMetric(Metric):
    """A metric that reports its value with interval, baselines and counts.

    `compute` returns the value alone, as torchmetrics expects; `summary` returns all of it. The states are rows per
    image, since a bootstrap over images needs them; they are gathered from all processes.
    """

    full_state_update = False

    def compute(self) -> Tensor:
        """Return the value, a float64 scalar; NaN where nothing could be measured."""
        return torch.tensor(self._value(), dtype=torch.float64)

    def summary(self) -> Summary:
        """Return the value with its interval, its baselines and its counts."""
        with self.sync_context(dist_sync_fn=self.dist_sync_fn, process_group=self.process_group):
            return self._summary()

    @abstractmethod
    def _value(self) -> float: ...

    @abstractmethod
    def _summary(self) -> Summary: ...

    def _add_rows(self, *names: str) -> None:
        for name in names:
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def _rows(self, name: str) -> Tensor:
        """Return the rows of a state from all batches and processes."""
        rows = getattr(self, name)
        if isinstance(rows, list) and not rows:
            return torch.zeros(0, dtype=torch.float64)
        return dim_zero_cat(rows)


class RegionScore(SummarizedMetric):
    """A mean over images of how well maps point at the region; of several maps per image, their mean.

    Args:
        size: height and width of the model's input.
        tolerance: distance from the region, in pixels of an image of 224; by default 15 for points, otherwise 0.
        seed: of the interval.

    Attributes:
        title: the name of the measure.
        without: what a map lacks that has no score; the name of its count.
    """

    higher_is_better = True
    title: ClassVar[str]
    without: ClassVar[str]
    values: list[Tensor]
    areas: list[Tensor]
    unscored: list[Tensor]
    absent: list[Tensor]
    covered: Tensor
    images: Tensor

    def __init__(self, size: tuple[int, int], *, tolerance: float | None = None, seed: int = 0) -> None:
        super().__init__()
        self.size, self.tolerance, self.seed = size, tolerance, seed
        self._add_rows("values", "areas", "unscored", "absent")
        self.add_state("covered", default=torch.zeros(size, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, maps: Tensor, regions: Regions) -> None:
        """Add a batch of images.

        Args:
            maps: (B, H, W) or (B, K, h, w), signed; smaller maps are enlarged bilinearly.
            regions: masks, boxes or points.
        """
        maps = full_maps(maps, self.size)
        tolerance = self.tolerance
        if tolerance is None:
            tolerance = TOLERANCE if regions.kind == "points" else 0.0
        masks = regions.as_masks(tolerance * min(self.size) / 224)
        scores, unscored = self._scores(maps, masks)
        counted = ~scores.isnan().all(dim=1)
        self.values.append(scores.nanmean(dim=1))
        self.areas.append(masks.flatten(1).double().mean(dim=1).masked_fill(~counted, torch.nan))
        self.unscored.append(unscored.sum(dim=1))
        self.absent.append(~masks.flatten(1).any(dim=1))
        self.covered += masks[counted].sum(dim=0)
        self.images += counted.sum()

    @abstractmethod
    def _scores(self, maps: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Return the score of each map (B, K), NaN where there is none, and which maps to count as such, (B, K)."""

    def _value(self) -> float:
        return float(self._rows("values").nanmean())

    def _summary(self) -> Summary:
        values = self._rows("values").cpu()
        places = place_scores(self.covered, self.images)
        return Summary(
            self.title,
            self._value(),
            mean_interval(values, seed=self.seed),
            True,
            baselines={
                "best constant place": places.best,
                "centre": places.centre,
                "random place": places.random,
            },
            counts={
                "images": int(values.numel()),
                "images left out": int(values.isnan().sum()),
                "images without a visible region": int(self._rows("absent").sum()),
                f"maps without {self.without}": int(self._rows("unscored").sum()),
            },
        )
