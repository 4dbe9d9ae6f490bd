"""Distinctiveness: do the prototypes of a class mark different places?"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from resemblance.metrics.since.bootstrap import mean_interval
from resemblance.metrics.since.hits import (
    box_iou,
    boxes_about,
    constant,
    maximum_places,
    scaled_half,
)
from resemblance.metrics.since.summary import SummarizedMetric, Summary
from resemblance.metrics.since.trivial_baselines import cell_places, random_places

HALF = 36  # pixels of 224
RANDOM_DRAWS = 100


def separation(boxes: Tensor, valid: Tensor | None = None) -> Tensor:
    """Return 1 minus the mean intersection over union of all pairs of boxes.

    Args:
        boxes: (..., K, 4) x0, y0, x1, y1.
        valid: (..., K) bool, the boxes that count; by default all.

    Returns:
        (...) float64; NaN with fewer than two boxes.

    Example:
        >>> separation(torch.tensor([[0, 0, 72, 72], [36, 0, 108, 72]]))
        tensor(0.6667, dtype=torch.float64)
    """
    count = boxes.shape[-2]
    first, second = torch.triu_indices(count, count, offset=1, device=boxes.device)
    overlaps = box_iou(boxes[..., first, :], boxes[..., second, :])
    if valid is None:
        return 1 - overlaps.mean(dim=-1)
    pairs = (valid[..., first] & valid[..., second]).double()
    return 1 - (overlaps * pairs).sum(dim=-1) / pairs.sum(dim=-1)


class Distinctiveness(SummarizedMetric):
    """1 minus the mean overlap of boxes about the maxima of the maps of a class's prototypes, in [0, 1].

    For each image, the mean over pairs of prototypes of its class. Source: Zhu et al. 2025 (PNP).

    Prototypes that mark fixed places far apart, and know nothing, score best: compare with the baselines. By default
    boxes end at the border of the image, maps without a maximum are left out and counted, and maps are not averaged;
    with ``definition="released"`` boxes are not clipped, every map counts (one without a maximum marks the first
    pixel), and maps are averaged over blocks of 2×2 cells first, which drops the last row and column of an odd grid.

    Args:
        size: height and width of the model's input.
        half: half the side of the box, in pixels of an image of 224.
        definition: "default" or "released".
        seed: of the interval and of the random places.

    Example:
        >>> metric = Distinctiveness((224, 224))
        >>> maps = torch.zeros(1, 2, 7, 7)
        >>> maps[0, 0, 1, 1], maps[0, 1, 5, 5] = 1.0, 1.0
        >>> metric.update(maps, torch.tensor([[0, 1]]))
        >>> metric.compute().item(), metric.summary().baselines["same place"]
        (1.0, 0.0)
    """

    higher_is_better = True
    values: list[Tensor]
    flat: list[Tensor]
    columns: list[Tensor]

    def __init__(
        self, size: tuple[int, int], *, half: float = HALF, definition: str = "default", seed: int = 0
    ) -> None:
        super().__init__()
        self.size, self.reach, self.definition, self.seed = size, scaled_half(half, size), definition, seed
        self._add_rows("values", "flat", "columns")

    def update(self, maps: Tensor, which: Tensor) -> None:
        """Add a batch of images.

        Args:
            maps: (B, K, h, w) similarity maps of the prototypes of the true class.
            which: (B, K) int64, these prototypes; −1 for none.
        """
        flat = constant(maps)
        released = self.definition == "released"
        if released and min(maps.shape[-2:]) > 1 and tuple(maps.shape[-2:]) != tuple(self.size):
            maps = F.avg_pool2d(maps, 2)
        places = maximum_places(maps, self.size, "bilinear")
        boxes = boxes_about(places, self.reach, self.size, clip=not released)
        valid = which >= 0
        self.values.append(separation(boxes, valid if released else valid & ~flat))
        self.flat.append((flat & valid).sum(dim=1))
        self.columns.append(valid.sum(dim=1))

    def _value(self) -> float:
        return float(self._rows("values").nanmean())

    def _summary(self) -> Summary:
        values, flat, columns = (self._rows(name).cpu() for name in ("values", "flat", "columns"))
        count = int(columns.max()) if columns.numel() else 0
        return Summary(
            "distinctiveness",
            self._value(),
            mean_interval(values, seed=self.seed),
            True,
            baselines={
                "same place": 0.0,
                "fixed places apart": self._fixed(count),
                "random place": self._random(count),
            },
            counts={
                "images": int(values.numel()),
                "images with fewer than two maps": int(values.isnan().sum()),
                "maps without a maximum": int(flat.sum()),
            },
            definition=self.definition,
        )

    def _boxes(self, places: Tensor) -> Tensor:
        return boxes_about(places, self.reach, self.size, clip=self.definition != "released")

    def _fixed(self, count: int) -> float:
        """Return the score of prototypes that mark the centres of the first cells of a square grid."""
        side = max(1, math.ceil(math.sqrt(count)))
        return float(separation(self._boxes(cell_places((side, side), self.size)[:count])))

    def _random(self, count: int) -> float:
        places = random_places((RANDOM_DRAWS, max(count, 2)), self.size, self.seed)
        return float(separation(self._boxes(places)).mean())
