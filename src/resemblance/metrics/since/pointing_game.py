"""Pointing game: does the maximum of a map lie in the region?"""

from __future__ import annotations

import torch
from torch import Tensor

from resemblance.metrics.since.hits import constant
from resemblance.metrics.since.summary import RegionScore


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


class PointingGame(RegionScore):
    """Share of images in which the maximum of the map lies in the region, in [0, 1].

    With several maps per image, their mean. Source: Zhang et al. 2018, with their tolerance of 15 pixels
    for points; masks and boxes have none. Of several equal maxima, the share inside counts. Maps without a maximum and
    images without a visible region are left out and counted.

    Args:
        size: height and width of the model's input.
        tolerance: distance from the region, in pixels of an image of 224; by default 15 for points, otherwise 0.
        seed: of the interval.

    Example:
        >>> from resemblance.data.regions import Regions
        >>> metric = PointingGame((4, 4))
        >>> maps = torch.zeros(2, 4, 4)
        >>> maps[:, 1, 2] = 1.0
        >>> boxes = torch.tensor([[[2.0, 0.0, 4.0, 2.0]], [[0.0, 0.0, 1.0, 4.0]]])
        >>> metric.update(maps, Regions((4, 4), boxes=boxes))
        >>> metric.compute().item(), metric.summary().baselines["random place"]
        (0.5, 0.25)
    """

    title = "pointing game"
    without = "a maximum"

    def _scores(self, maps: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        return pointing_hits(maps, masks), constant(maps)
