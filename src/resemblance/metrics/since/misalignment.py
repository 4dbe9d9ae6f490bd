"""Spatial misalignment: can pixels outside of what a prototype marks change its similarity?"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from resemblance.metrics.since.bootstrap import Interval, mean_interval
from resemblance.metrics.since.hits import enlarge
from resemblance.metrics.since.summary import SummarizedMetric, Summary
from resemblance.metrics.since.trivial_baselines import mask_iou
from resemblance.prototypes.maps import percentile

TOP_PERCENT = 90.0
NAMES = ("activation change", "ranking change", "location change", "accuracy change")


class Response(NamedTuple):
    """What a model answers to images.

    Args:
        similarities: (B, P), pooled.
        maps: (B, h, w), the similarity map of each image's chosen prototype.
        predictions: (B,) int64, the predicted classes.
    """

    similarities: Tensor
    maps: Tensor
    predictions: Tensor


def activation_change(before: Tensor, after: Tensor) -> Tensor:
    """Return by how many per cent similarities (B,) fell, (B,) float64; NaN where they were not positive.

    Negative similarities count as 0. Source: Sacha et al. 2024 (PAC).

    Example:
        >>> activation_change(torch.tensor([4.0, -1.0]), torch.tensor([3.0, 0.0]))
        tensor([25., nan], dtype=torch.float64)
    """
    before, after = before.double().clamp_min(0), after.double().clamp_min(0)
    return (100 * (1 - after / before)).masked_fill(before == 0, torch.nan)


def ranking_change(before: Tensor, after: Tensor, which: Tensor, owners: Tensor) -> Tensor:
    """Return how many more prototypes of other classes are above the chosen one, (B,) float64.

    Source: Sacha et al. 2024 (PRC).

    Args:
        before: (B, P) similarities.
        after: (B, P).
        which: (B,) int64, the chosen prototypes.
        owners: (P, C) bool.

    Example:
        >>> before, after = torch.tensor([[3.0, 2.0]]), torch.tensor([[1.0, 2.0]])
        >>> ranking_change(before, after, torch.tensor([0]), torch.eye(2).bool()).item()
        1.0
    """
    classes = owners.double()
    foreign = classes[which] @ classes.T == 0
    ranks = []
    for similarities in (before, after):
        similarities = similarities.double().clamp_min(0)
        above = similarities > similarities.gather(1, which[:, None])
        ranks.append((above & foreign).sum(dim=1).double())
    return ranks[1] - ranks[0]


def location_change(before: Tensor, after: Tensor, size: tuple[int, int]) -> Tensor:
    """Return by how many per cent the top tenths of the pixels of maps part, (B,) float64.

    100 × (1 − intersection over union) of the pixels above the 90 % quantile of the enlarged maps; NaN where no pixel
    of either map is above it. Source: Sacha et al. 2024 (PLC).

    Args:
        before: (B, h, w) maps.
        after: (B, h, w).
        size: height and width of the image.

    Example:
        >>> before, after = torch.zeros(1, 7, 7), torch.zeros(1, 7, 7)
        >>> before[0, 3, 3], after[0, 3, 4] = 4.0, 3.0
        >>> round(location_change(before, after, (224, 224)).item(), 2)
        66.67
    """
    tops = []
    for maps in (before, after):
        large = enlarge(maps.double().clamp_min(0), size)
        tops.append(large > percentile(large.flatten(1), TOP_PERCENT)[:, None, None])
    return 100 * (1 - mask_iou(*tops))


class Misalignment(SummarizedMetric):
    """How far pixels outside of what a prototype marks can lower its similarity, in per cent; lower is better.

    The value is the fall of the chosen prototype's similarity (PAC). Its summary has three more: how many more
    prototypes of other classes are above it (PRC), how far its map moves (PLC, per cent), and the loss of accuracy
    (AC, points of per cent). Source: Sacha et al. 2024.

    The images come from `outside_attack`. Their released code adds noise and attacks nothing: give the answers to such
    noise as ``noise``, and the summary shows them beside; the difference is what the attack does. Images whose
    prototype has no positive similarity are left out of PAC and counted.

    Args:
        size: height and width of the model's input.
        definition: a label, that of `outside_attack`.
        seed: of the intervals.

    Example:
        >>> metric = Misalignment((224, 224))
        >>> before, after = torch.zeros(1, 7, 7), torch.zeros(1, 7, 7)
        >>> before[0, 3, 3], after[0, 3, 4] = 4.0, 3.0
        >>> label = torch.tensor([0])
        >>> clean = Response(torch.tensor([[4.0, 1.0]]), before, label)
        >>> attacked = Response(torch.tensor([[3.0, 1.0]]), after, label)
        >>> metric.update(clean, attacked, torch.tensor([0]), torch.eye(2).bool(), label)
        >>> metric.compute().item(), round(metric.summary().variants["location change"], 2)
        (25.0, 66.67)
    """

    higher_is_better = False
    attack: list[Tensor]
    noise: list[Tensor]
    blind: list[Tensor]
    filled: list[Tensor]

    def __init__(self, size: tuple[int, int], *, definition: str = "default", seed: int = 0) -> None:
        super().__init__()
        self.size, self.definition, self.seed = size, definition, seed
        self._add_rows("attack", "noise", "blind", "filled")

    def update(
        self,
        before: Response,
        after: Response,
        which: Tensor,
        owners: Tensor,
        labels: Tensor,
        *,
        noise: Response | None = None,
        outside: Tensor | None = None,
        blind: Tensor | None = None,
    ) -> None:
        """Add a batch of images, or of pairs of image and prototype.

        Args:
            before: the model's answers to the images.
            after: its answers to the attacked images.
            which: (B,) int64, the prototype that was attacked.
            owners: (P, C) bool.
            labels: (B,) true classes.
            noise: the model's answers to noise instead of the attack.
            outside: (B, 1, H, W) bool, the pixels that could change, to count images without any.
            blind: (B,) bool, where the attack had no gradient (`Attacked.blind`), to count them.
        """
        none = torch.zeros(len(which), dtype=torch.bool, device=which.device)
        self.attack.append(self._changes(before, after, which, owners, labels))
        if noise is None:
            self.noise.append(torch.full_like(self.attack[-1], torch.nan))
        else:
            self.noise.append(self._changes(before, noise, which, owners, labels))
        self.blind.append(none if blind is None else blind)
        self.filled.append(none if outside is None else ~outside.flatten(1).any(dim=1))

    def _changes(
        self, before: Response, after: Response, which: Tensor, owners: Tensor, labels: Tensor
    ) -> Tensor:
        """Return (B, 4): the changes by the order of `NAMES`."""
        values = [response.similarities.gather(1, which[:, None])[:, 0] for response in (before, after)]
        right = [(response.predictions == labels).double() for response in (before, after)]
        columns = [
            activation_change(*values),
            ranking_change(before.similarities, after.similarities, which, owners),
            location_change(before.maps, after.maps, self.size),
            100 * (right[0] - right[1]),
        ]
        return torch.stack(columns, dim=1)

    def _value(self) -> float:
        changes = self._rows("attack")
        return float(changes[:, 0].nanmean()) if changes.numel() else float("nan")

    def _summary(self) -> Summary:
        if not self._rows("attack").numel():
            nothing = Interval(float("nan"), float("nan"))
            return Summary("misalignment", float("nan"), nothing, False, definition=self.definition)
        changes, noise = self._rows("attack").cpu(), self._rows("noise").cpu()
        means, noise_means = changes.nanmean(dim=0).tolist(), noise.nanmean(dim=0).tolist()
        intervals = [mean_interval(column, seed=self.seed) for column in changes.T]
        with_noise = not noise.isnan().all()
        baselines = dict(zip((f"{name} by noise" for name in NAMES), noise_means, strict=True))
        return Summary(
            "misalignment",
            means[0],
            intervals[0],
            False,
            baselines=baselines if with_noise else {},
            variants=dict(zip(NAMES[1:], means[1:], strict=True)),
            counts={
                "images": len(changes),
                "images without a positive similarity": int(changes[:, 0].isnan().sum()),
                "images whose maps have no top tenth": int(changes[:, 2].isnan().sum()),
                "images whose box fills them": int(self._rows("filled").sum()),
                "images where the attack had no gradient": int(self._rows("blind").sum()),
            },
            intervals=dict(zip(NAMES[1:], intervals[1:], strict=True)),
            definition=self.definition,
        )
