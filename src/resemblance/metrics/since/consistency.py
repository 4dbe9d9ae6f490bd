"""Consistency: does a prototype point at the same part of the object in every image of its class?"""

from __future__ import annotations

import torch
from torch import Tensor

from resemblance.data.regions.regions import Regions, merge_columns
from resemblance.metrics.since.bootstrap import bootstrap_interval
from resemblance.metrics.since.hits import boxes_about, maximum_places, part_hits, points_inside, scaled_half
from resemblance.metrics.since.summary import SummarizedMetric, Summary

HALF = 36  # pixels of 224
LEAST_SHARE = 0.8
LEAST_VISIBLE = 10
GRID = (7, 7)


def part_shares(
    hits: Tensor, visible: Tensor, which: Tensor, prototypes: int, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Count for each prototype how often it hits each part, of the images in which the part is visible.

    Args:
        hits: (B, K, T) bool.
        visible: (B, T) bool.
        which: (B, K) int64, the prototype of each column; −1 for none.
        prototypes: P.
        weights: (B,) how often each image counts; by default once.

    Returns:
        hits (P, T) and visible images (P, T), float64.

    Example:
        >>> hits = torch.tensor([[[True]], [[False]]])
        >>> [counts.item() for counts in part_shares(hits, torch.ones(2, 1).bool(), torch.zeros(2, 1).long(), 1)]
        [1.0, 2.0]
    """
    rows, columns = (which >= 0).nonzero(as_tuple=True)
    targets = which[rows, columns]
    seen = visible[rows].double()
    hit = hits[rows, columns].double() * seen
    if weights is not None:
        weight = weights.to(seen)[rows, None]
        seen, hit = seen * weight, hit * weight
    zeros = torch.zeros(prototypes, hits.shape[-1], dtype=torch.float64, device=hits.device)
    return zeros.index_add(0, targets, hit), zeros.index_add(0, targets, seen)


def consistent(hits: Tensor, seen: Tensor, least_share: float = LEAST_SHARE, least_visible: float = 0) -> Tensor:
    """Return which prototypes hit one part in at least ``least_share`` of the images that show it.

    A part that no image shows counts as never hit. Source: Huang et al. 2023, eq. 4.

    Args:
        hits: (P, T) counts.
        seen: (P, T) images in which the part is visible.
        least_share: in [0, 1].
        least_visible: parts that fewer images show are left out.

    Returns:
        (P,) float64, 1 or 0; NaN for prototypes without any part that enough images show, if ``least_visible`` is
        positive.

    Example:
        >>> consistent(torch.tensor([[4.0, 1.0]]), torch.tensor([[5.0, 1.0]]))
        tensor([1.], dtype=torch.float64)
    """
    shares = hits / seen.clamp_min(1)
    enough = (seen > 0) & (seen >= least_visible)
    passed = ((shares >= least_share) & enough).any(dim=-1).double()
    return passed.masked_fill(~enough.any(dim=-1), torch.nan) if least_visible > 0 else passed
