"""Comprehensiveness: do the prototypes of a class cover the object together?"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from resemblance.data.regions.regions import Regions
from resemblance.metrics.since.bootstrap import mean_interval
from resemblance.metrics.since.hits import constant, enlarge
from resemblance.metrics.since.summary import SummarizedMetric, Summary
from resemblance.metrics.since.trivial_baselines import centred_squares, mask_iou, shifted_iou

CUT = 0.6


def marked_pixels(maps: Tensor, valid: Tensor, cut: float = CUT, level: float | None = None) -> Tensor:
    """Return the pixels that any of the maps marks.

    Args:
        maps: (B, K, H, W) of the size of the image.
        valid: (B, K) bool, the maps that count.
        cut: share of the way from the minimum to the maximum of each map.
        level: a similarity instead, the same for all maps, so that an absent prototype marks nothing.

    Returns:
        (B, H, W) bool.

    Example:
        >>> maps = torch.tensor([[[[0.0, 5.0, 10.0]], [[0.0, 0.1, 0.0]]]])
        >>> marked_pixels(maps, torch.ones(1, 2).bool())[0].tolist()
        [[False, True, True]]
        >>> marked_pixels(maps, torch.ones(1, 2).bool(), level=7.0)[0].tolist()
        [[False, False, True]]
    """
    if level is None:
        low, high = maps.amin(dim=(-2, -1), keepdim=True), maps.amax(dim=(-2, -1), keepdim=True)
        marked = maps - low > cut * (high - low)
    else:
        marked = maps > level
    return (marked & valid[..., None, None]).any(dim=1)


class Comprehensiveness(SummarizedMetric):
    """Mean intersection over union of the object's mask and what the maps of its class mark, in [0, 1].

    Each map of a prototype of the true class marks its pixels above 60 % of its range. Source: Zhu et al. 2025 (PNP).

    The range makes a prototype that is absent mark as much as one that is present; ``level`` cuts at a similarity
    instead. By default maps without a maximum are left out and counted, and maps are not averaged; with
    ``definition="released"`` maps are averaged over blocks of 2×2 cells first.

    Args:
        size: height and width of the model's input.
        cut: share of the range of each map.
        level: a similarity to cut at instead of ``cut``.
        definition: "default" or "released".
        seed: of the interval.

    Example:
        >>> metric = Comprehensiveness((28, 28))
        >>> masks = torch.zeros(1, 28, 28, dtype=torch.bool)
        >>> masks[:, 8:20, 8:20] = True
        >>> metric.update(masks[:, None].double(), torch.zeros(1, 1).long(), Regions((28, 28), masks=masks))
        >>> metric.compute().item()
        1.0
    """

    higher_is_better = True
    values: list[Tensor]
    whole: list[Tensor]
    centred: list[Tensor]
    shifted: list[Tensor]
    flat: list[Tensor]
    absent: list[Tensor]

    def __init__(
        self,
        size: tuple[int, int],
        *,
        cut: float = CUT,
        level: float | None = None,
        definition: str = "default",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.size, self.cut, self.level, self.definition, self.seed = size, cut, level, definition, seed
        self._add_rows("values", "whole", "centred", "shifted", "flat", "absent")

    def update(self, maps: Tensor, which: Tensor, regions: Regions) -> None:
        """Add a batch of images.

        Args:
            maps: (B, K, h, w) similarity maps of the prototypes of the true class, of any size.
            which: (B, K) int64, these prototypes; −1 for none.
            regions: masks, or boxes, which are filled.
        """
        valid = which >= 0
        flat = constant(maps) & valid
        if tuple(maps.shape[-2:]) != tuple(self.size):
            if self.definition == "released" and min(maps.shape[-2:]) > 1:
                maps = F.avg_pool2d(maps, 2)
            maps = enlarge(maps, self.size)
        masks = regions.as_masks()
        present = masks.flatten(1).any(dim=1)
        marked = marked_pixels(maps, valid & ~flat, self.cut, self.level)
        counted = present & (valid & ~flat).any(dim=1)
        areas = marked.flatten(1).sum(dim=1)
        scores = {
            "values": mask_iou(marked, masks),
            "whole": masks.flatten(1).double().mean(dim=1),
            "centred": mask_iou(centred_squares(areas, self.size), masks),
            "shifted": shifted_iou(marked, masks),
        }
        for name, rows in scores.items():
            getattr(self, name).append(rows.masked_fill(~counted, torch.nan))
        self.flat.append(flat.sum(dim=1))
        self.absent.append(~present)

    def _value(self) -> float:
        return float(self._rows("values").nanmean())

    def _summary(self) -> Summary:
        values = self._rows("values").cpu()
        return Summary(
            "comprehensiveness",
            self._value(),
            mean_interval(values, seed=self.seed),
            True,
            baselines={
                "whole image": float(self._rows("whole").nanmean()),
                "centred square of the same area": float(self._rows("centred").nanmean()),
                "same shape at random places": float(self._rows("shifted").nanmean()),
            },
            counts={
                "images": int(values.numel()),
                "images left out": int(values.isnan().sum()),
                "images without a mask": int(self._rows("absent").sum()),
                "maps without a maximum": int(self._rows("flat").sum()),
            },
            definition=self.definition,
        )
