"""Relevance mass: how much of a map's positive relevance lies in the region?"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from resemblance.metrics.since.summary import RegionScore, Summary


def mass_inside(maps: Tensor, masks: Tensor) -> Tensor:
    """Return the share of the positive relevance that lies in the mask.

    Args:
        maps: (B, K, H, W), signed.
        masks: (B, H, W) bool.

    Returns:
        (B, K) float64 in [0, 1]; NaN for a map without positive relevance or with values that are not finite, and
        for an empty mask.

    Example:
        >>> maps = torch.tensor([[[[3.0, 1.0, -5.0]], [[0.0, 0.0, -1.0]]]])
        >>> mass_inside(maps, torch.tensor([[[True, False, True]]]))
        tensor([[0.7500,    nan]], dtype=torch.float64)
    """
    positive = maps.double().clamp_min(0)
    total = positive.sum(dim=(-2, -1))
    shares = (positive * masks[:, None]).sum(dim=(-2, -1)) / total
    usable = (total > 0) & total.isfinite() & masks.flatten(1).any(dim=1)[:, None]
    return shares.masked_fill(~usable, torch.nan)


class RelevanceMass(RegionScore):
    """Mean share of the positive relevance that lies in the region, in [0, 1].

    With several maps per image, their mean. Source: Arras et al. 2022, "relevance mass accuracy". A map without any
    knowledge scores the region's share of the image, and a map of a single constant pixel what the pointing game's
    baselines score. Maps without positive relevance and images without a visible region are left out and counted.

    Args:
        size: height and width of the model's input.
        tolerance: distance from the region, in pixels of an image of 224; by default 15 for points, otherwise 0.
        seed: of the interval.

    Example:
        >>> from resemblance.data.regions import Regions
        >>> metric = RelevanceMass((4, 4))
        >>> metric.update(torch.ones(1, 4, 4), Regions((4, 4), boxes=torch.tensor([[[0.0, 0.0, 2.0, 2.0]]])))
        >>> metric.compute().item(), metric.summary().baselines["area of the region"]
        (0.25, 0.25)
    """

    title = "relevance mass"
    without = "positive relevance"

    def _scores(self, maps: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        shares = mass_inside(maps, masks)
        return shares, shares.isnan() & masks.flatten(1).any(dim=1)[:, None]

    def _summary(self) -> Summary:
        values, areas = self._rows("values").cpu(), self._rows("areas").cpu()
        summary = super()._summary()
        places = {name: summary.baselines[name] for name in ("best constant place", "centre")}
        return replace(
            summary,
            baselines={"area of the region": float(areas.nanmean()), **places},
            variants={"mean gain over the area": float((values / areas).nanmean())},
        )
