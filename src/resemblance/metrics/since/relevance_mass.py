"""Relevance mass: how much of a map's positive relevance lies in the region?"""

from __future__ import annotations

import torch
from torch import Tensor

from resemblance.data.regions.regions import Regions
from resemblance.metrics.since.bootstrap import mean_interval
from resemblance.metrics.since.pointing_game import TOLERANCE, full_maps
from resemblance.metrics.since.summary import SummarizedMetric, Summary
from resemblance.metrics.since.trivial_baselines import place_scores


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


class RelevanceMass(SummarizedMetric):
    """Mean share of the positive relevance that lies in the region, in [0, 1].

    With several maps per image, their mean. Source: Arras et al. 2022, "relevance mass accuracy". A map without any
    knowledge scores the region's share of the image, and a map of a single constant pixel what the pointing game's
    baselines score. Maps without positive relevance and images without a visible region are left out and counted.

    Args:
        size: height and width of the model's input.
        tolerance: distance from the region, in pixels of an image of 224; by default 15 for points, otherwise 0.
        seed: of the interval.

    Example:
        >>> metric = RelevanceMass((4, 4))
        >>> metric.update(torch.ones(1, 4, 4), Regions((4, 4), boxes=torch.tensor([[[0.0, 0.0, 2.0, 2.0]]])))
        >>> metric.compute().item(), metric.summary().baselines["area of the region"]
        (0.25, 0.25)
    """

    higher_is_better = True
    values: list[Tensor]
    areas: list[Tensor]
    empty: list[Tensor]
    absent: list[Tensor]
    covered: Tensor
    images: Tensor

    def __init__(self, size: tuple[int, int], *, tolerance: float | None = None, seed: int = 0) -> None:
        super().__init__()
        self.size, self.tolerance, self.seed = size, tolerance, seed
        self._add_rows("values", "areas", "empty", "absent")
        self.add_state("covered", default=torch.zeros(size, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, maps: Tensor, regions: Regions) -> None:
        """Add a batch of images.

        Args:
            maps: (B, H, W) or (B, K, h, w), signed; smaller maps are enlarged bilinearly.
            regions: masks, boxes or points.
        """
        maps = full_maps(maps, self.size)
        tolerance = (
            (TOLERANCE if regions.kind == "points" else 0.0) if self.tolerance is None else self.tolerance
        )
        masks = regions.as_masks(tolerance * min(self.size) / 224)
        shares = mass_inside(maps, masks)
        present = masks.flatten(1).any(dim=1)
        counted = ~shares.isnan().all(dim=1)
        self.values.append(shares.nanmean(dim=1))
        self.areas.append(masks.flatten(1).double().mean(dim=1).masked_fill(~counted, torch.nan))
        self.empty.append((shares.isnan() & present[:, None]).sum(dim=1))
        self.absent.append(~present)
        self.covered += masks[counted].sum(dim=0)
        self.images += counted.sum()

    def _value(self) -> float:
        return float(self._rows("values").nanmean())

    def _summary(self) -> Summary:
        values, areas = self._rows("values").cpu(), self._rows("areas").cpu()
        places = place_scores(self.covered, self.images)
        return Summary(
            "relevance mass",
            self._value(),
            mean_interval(values, seed=self.seed),
            True,
            baselines={
                "area of the region": float(areas.nanmean()),
                "best constant place": places.best,
                "centre": places.centre,
            },
            variants={"mean gain over the area": float((values / areas).nanmean())},
            counts={
                "images": int(values.numel()),
                "images left out": int(values.isnan().sum()),
                "images without a visible region": int(self._rows("absent").sum()),
                "maps without positive relevance": int(self._rows("empty").sum()),
            },
        )
