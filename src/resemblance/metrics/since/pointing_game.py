"""Pointing game: does the maximum of a map lie in the region?"""

from __future__ import annotations

import torch
from torch import Tensor

from resemblance.data.regions.regions import Regions
from resemblance.metrics.since.bootstrap import mean_interval
from resemblance.metrics.since.hits import constant, enlarge
from resemblance.metrics.since.summary import SummarizedMetric, Summary
from resemblance.metrics.since.trivial_baselines import place_scores

TOLERANCE = 15.0  # pixels of 224, for points


def pointing_hits(maps: Tensor, masks: Tensor) -> Tensor:
    """Return whether the maximum of each map lies in the mask; of several equal maxima, the share that does.

    Args:
        maps: (B, K, H, W).
        masks: (B, H, W) bool.

    Returns:
        (B, K) float64 in [0, 1]; NaN for a map without a maximum, and for an empty mask.

    Example:
        >>> maps = torch.tensor([[[[0.0, 2.0]], [[1.0, 1.0]]]])
        >>> pointing_hits(maps, torch.tensor([[[False, True]]]))
        tensor([[1., nan]], dtype=torch.float64)
    """
    is_maximum = maps == maps.amax(dim=(-2, -1), keepdim=True)
    inside = (is_maximum & masks[:, None]).flatten(2).sum(dim=-1).double()
    hits = inside / is_maximum.flatten(2).sum(dim=-1).double()
    return hits.masked_fill(constant(maps) | ~masks.flatten(1).any(dim=1)[:, None], torch.nan)


class PointingGame(SummarizedMetric):
    """Share of images in which the maximum of the map lies in the region, in [0, 1].

    With several maps per image, their mean. Source: Zhang et al. 2018, with their tolerance of 15 pixels
    for points; masks and boxes have none. Of several equal maxima, the share inside counts. Maps without a maximum and
    images without a visible region are left out and counted.

    Args:
        size: height and width of the model's input.
        tolerance: distance from the region, in pixels of an image of 224; by default 15 for points, otherwise 0.
        seed: of the interval.

    Example:
        >>> metric = PointingGame((4, 4))
        >>> maps = torch.zeros(2, 4, 4)
        >>> maps[:, 1, 2] = 1.0
        >>> boxes = torch.tensor([[[2.0, 0.0, 4.0, 2.0]], [[0.0, 0.0, 1.0, 4.0]]])
        >>> metric.update(maps, Regions((4, 4), boxes=boxes))
        >>> metric.compute().item(), metric.summary().baselines["random place"]
        (0.5, 0.25)
    """

    higher_is_better = True
    values: list[Tensor]
    flat: list[Tensor]
    absent: list[Tensor]
    covered: Tensor
    images: Tensor

    def __init__(self, size: tuple[int, int], *, tolerance: float | None = None, seed: int = 0) -> None:
        super().__init__()
        self.size, self.tolerance, self.seed = size, tolerance, seed
        self._add_rows("values", "flat", "absent")
        self.add_state("covered", default=torch.zeros(size, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, maps: Tensor, regions: Regions) -> None:
        """Add a batch of images.

        Args:
            maps: (B, H, W) or (B, K, h, w); smaller maps are enlarged bilinearly.
            regions: masks, boxes or points.
        """
        maps = full_maps(maps, self.size)
        tolerance = (
            (TOLERANCE if regions.kind == "points" else 0.0) if self.tolerance is None else self.tolerance
        )
        masks = regions.as_masks(tolerance * min(self.size) / 224)
        hits = pointing_hits(maps, masks)
        present = masks.flatten(1).any(dim=1)
        counted = ~hits.isnan().all(dim=1)
        self.values.append(hits.nanmean(dim=1))
        self.flat.append(constant(maps).sum(dim=1))
        self.absent.append(~present)
        self.covered += masks[counted].sum(dim=0)
        self.images += counted.sum()

    def _value(self) -> float:
        return float(self._rows("values").nanmean())

    def _summary(self) -> Summary:
        values = self._rows("values").cpu()
        places = place_scores(self.covered, self.images)
        return Summary(
            "pointing game",
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
                "maps without a maximum": int(self._rows("flat").sum()),
            },
        )


def full_maps(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Return maps (B, H, W) or (B, K, h, w) as (B, K, H, W), enlarged bilinearly where they are smaller.

    Example:
        >>> full_maps(torch.zeros(2, 7, 7), (28, 28)).shape
        torch.Size([2, 1, 28, 28])
    """
    maps = maps[:, None] if maps.dim() == 3 else maps
    return maps if tuple(maps.shape[-2:]) == tuple(size) else enlarge(maps, size)
