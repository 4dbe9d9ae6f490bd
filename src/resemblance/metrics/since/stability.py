"""Stability: does a prototype still point at the same parts if the image is slightly noisy?"""

from __future__ import annotations

import torch
from torch import Tensor

from resemblance.data.regions.regions import Regions
from resemblance.metrics.since.bootstrap import Interval, bootstrap_interval
from resemblance.metrics.since.consistency import HALF, RANDOM_DRAWS
from resemblance.metrics.since.hits import boxes_about, constant, maximum_places, part_hits, scaled_half
from resemblance.metrics.since.summary import SummarizedMetric, Summary
from resemblance.metrics.since.trivial_baselines import random_places


def mean_per_prototype(
    values: Tensor, which: Tensor, prototypes: int, weights: Tensor | None = None
) -> Tensor:
    """Return the mean of each prototype over images (P,) float64; NaN for those without values.

    Args:
        values: (B, K), NaN where there is none.
        which: (B, K) int64, the prototype of each column; −1 for none.
        prototypes: P.
        weights: (B,) how often each image counts; by default once.

    Example:
        >>> mean_per_prototype(torch.tensor([[1.0], [0.0]]), torch.tensor([[0], [0]]), 2)
        tensor([0.5000,    nan], dtype=torch.float64)
    """
    rows, columns = ((which >= 0) & ~values.isnan()).nonzero(as_tuple=True)
    weight = torch.ones(len(values)) if weights is None else weights
    weight = weight.to(values.device, torch.float64)[rows]
    zeros = torch.zeros(prototypes, dtype=torch.float64, device=values.device)
    sums = zeros.index_add(0, which[rows, columns], values[rows, columns].double() * weight)
    return sums / zeros.index_add(0, which[rows, columns], weight)


class Stability(SummarizedMetric):
    """Share of images in which noise leaves the parts that a prototype hits unchanged, in per cent.

    The mean over images, then over prototypes; only prototypes of an image's true class count. The noise is that of
    `resemblance.training.attacks.noise.noisy_images`. Source: Huang et al. 2023.

    A prototype that hits nothing before and after counts as stable, and so does one that always marks the same place:
    hence the baseline 100, and the variant without pairs that hit nothing. ``definition="released"`` counts a map
    without a maximum as marking the first pixel; by default it hits nothing.

    Args:
        prototypes: P.
        size: height and width of the model's input.
        half: half the side of the box, in pixels of an image of 224.
        definition: "default" or "released".
        seed: of the interval and of the random places.

    Example:
        >>> metric = Stability(1, (224, 224))
        >>> before, after = torch.zeros(2, 1, 7, 7), torch.zeros(2, 1, 7, 7)
        >>> before[:, :, 3, 3], after[0, :, 3, 3], after[1, :, 0, 0] = 1.0, 1.0, 1.0
        >>> regions = Regions((224, 224), points=torch.full((2, 1, 2), 112.0))
        >>> metric.update(before, after, torch.zeros(2, 1).long(), torch.zeros(2).long(), regions)
        >>> metric.compute().item()
        50.0
    """

    higher_is_better = True
    unchanged: list[Tensor]
    empty: list[Tensor]
    random: list[Tensor]
    which: list[Tensor]
    labels: list[Tensor]
    flat: list[Tensor]

    def __init__(
        self,
        prototypes: int,
        size: tuple[int, int],
        *,
        half: float = HALF,
        definition: str = "default",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.prototypes, self.size, self.reach = prototypes, size, scaled_half(half, size)
        self.definition, self.seed = definition, seed
        self._add_rows("unchanged", "empty", "random", "which", "labels", "flat")

    def update(self, before: Tensor, after: Tensor, which: Tensor, labels: Tensor, regions: Regions) -> None:
        """Add a batch of images.

        Args:
            before: (B, K, h, w) similarity maps of the prototypes of the true class.
            after: the same of the noisy images.
            which: (B, K) int64, these prototypes; −1 for none.
            labels: (B,) true classes.
            regions: points, or boxes whose centres are taken.
        """
        hits, others = self._hits(before, regions), self._hits(after, regions)
        self.unchanged.append((hits == others).all(dim=-1))
        self.empty.append(~(hits | others).any(dim=-1))
        # The same pairs of random places for every image: what differs between images is where their parts are.
        places = random_places((RANDOM_DRAWS, 2), self.size, self.seed).to(before.device)
        boxes = boxes_about(places.expand(len(before), -1, -1, -1), self.reach, self.size)
        random = part_hits(boxes, regions).hits
        self.random.append((random[:, :, 0] == random[:, :, 1]).all(dim=-1).double().mean(dim=1))
        self.which.append(which)
        self.labels.append(labels)
        self.flat.append((constant(before) | constant(after)) & (which >= 0))

    def _hits(self, maps: Tensor, regions: Regions) -> Tensor:
        hits = part_hits(boxes_about(maximum_places(maps, self.size), self.reach, self.size), regions).hits
        return hits & ~constant(maps)[..., None] if self.definition == "default" else hits

    def _value(self) -> float:
        return self._score(self._rows("unchanged").double(), self._rows("which").long())

    def _score(self, values: Tensor, which: Tensor, weights: Tensor | None = None) -> float:
        if not values.numel():
            return float("nan")
        return float(100 * mean_per_prototype(values, which, self.prototypes, weights).nanmean())

    def _summary(self) -> Summary:
        names = ("unchanged", "empty", "random", "which", "labels", "flat")
        unchanged, empty, random, which, labels, flat = (self._rows(name).cpu() for name in names)
        values = unchanged.double()
        if not values.numel():
            nothing = Interval(float("nan"), float("nan"))
            return Summary("stability", float("nan"), nothing, True, definition=self.definition)
        pairs = which >= 0
        used = torch.bincount(which[pairs], minlength=self.prototypes) > 0
        return Summary(
            "stability",
            self._score(values, which),
            bootstrap_interval(
                lambda weights: self._score(values, which, weights),
                len(values),
                groups=labels,
                seed=self.seed,
            ),
            True,
            baselines={"best constant place": 100.0, "random place": float(100 * random.mean())},
            variants={
                "pairs that hit a part": self._score(values.masked_fill(empty, torch.nan), which),
            },
            counts={
                "images": len(values),
                "prototypes": int(used.sum()),
                "prototypes without images": int((~used).sum()),
                "pairs": int(pairs.sum()),
                "pairs that hit nothing": int((empty & pairs).sum()),
                "maps without a maximum": int(flat.sum()),
            },
            definition=self.definition,
        )
