"""Purity: do the patches that a prototype likes best show one part of the object?"""

from __future__ import annotations

import torch
from torch import Tensor

from resemblance.data.regions.regions import Regions
from resemblance.metrics.since.bootstrap import Interval, bootstrap_interval
from resemblance.metrics.since.hits import PAPER_SIDE, Hits, part_hits
from resemblance.metrics.since.patches import SIDE, cut_to
from resemblance.metrics.since.summary import SummarizedMetric, Summary

BEST = 10
LEAST_VISIBLE = 5
ROWS = ("patches", "points", "shown", "parts")
RELEVANT = 1e-5  # weight from which a prototype counts, in PIP-Net's code
CHANCE_DRAWS = 20


def purity(
    hits: Hits,
    which: Tensor,
    prototypes: int,
    *,
    least_visible: float = 1,
    weights: Tensor | None = None,
) -> Tensor:
    """Return for each prototype the share of its patches that show its most frequent part.

    The share of a part is taken over the images in which the part is visible. Source: Nauta et al. 2023 (PIP-Net).

    Args:
        hits: (n, T) parts in each patch, and visible parts of its image.
        which: (n,) int64, the prototype of each patch.
        prototypes: P.
        least_visible: parts that are visible in fewer images do not count.
        weights: (n,) how often each patch counts; by default once.

    Returns:
        (P,) float64; NaN for prototypes without patches or without parts that are visible often enough.

    Example:
        >>> first, second = torch.tensor([1, 1, 0, 1]).bool(), torch.tensor([0, 0, 1, 0]).bool()
        >>> hits = Hits(torch.stack([first, second], 1), torch.stack([torch.ones(4).bool(), second], 1))
        >>> which = torch.zeros(4).long()
        >>> purity(hits, which, 1).item(), purity(hits, which, 1, least_visible=2).item()
        (1.0, 0.75)
    """
    weight = torch.ones(len(which)) if weights is None else weights
    seen = hits.visible.double() * weight.double()[:, None]
    zeros = torch.zeros(prototypes, seen.shape[1], dtype=torch.float64)
    total = zeros.index_add(0, which, seen)
    shares = zeros.index_add(0, which, hits.hits.double() * seen) / total
    shares = shares.masked_fill((total < least_visible) | (total == 0), -torch.inf)
    best = shares.amax(dim=1) if shares.shape[1] else torch.full((prototypes,), -torch.inf)
    return best.masked_fill(best == -torch.inf, torch.nan).double()


def best_rows(which: Tensor, values: Tensor, images: Tensor, count: int) -> Tensor:
    """Return the rows of the ``count`` largest values of each prototype; of equal ones, those of the first images.

    Args:
        which: (n,) int64, the prototype of each row.
        values: (n,).
        images: (n,) int64, the image of each row; an image that occurs again for the same prototype is dropped.
        count: rows per prototype.

    Returns:
        (m,) int64, ordered by prototype and value.

    Example:
        >>> best_rows(torch.tensor([0, 0, 0, 1]), torch.tensor([1.0, 3.0, 3.0, 2.0]), torch.tensor([5, 9, 4, 5]), 2)
        tensor([2, 1, 3])
    """
    order = images.argsort(stable=True)
    order = order[values[order].argsort(descending=True, stable=True)]
    order = order[which[order].argsort(stable=True)]
    prototypes, sources = which[order], images[order]
    # The same image has the same value and so stands beside itself.
    again = torch.zeros(len(order), dtype=torch.bool, device=order.device)
    again[1:] = (prototypes[1:] == prototypes[:-1]) & (sources[1:] == sources[:-1])
    order, prototypes = order[~again], prototypes[~again]
    starts = torch.searchsorted(prototypes.contiguous(), prototypes.contiguous())
    ranks = torch.arange(len(order), device=order.device) - starts
    return order[ranks < count]


class Purity(SummarizedMetric):
    """Mean share of a prototype's best patches that show its most frequent part, in [0, 1].

    The patches of the ten images that are most similar to the prototype, or of all images that are more similar than
    ``least_similarity``. A part counts where it is visible. Source: Nauta et al. 2023 (PIP-Net).

    A part that is visible once and hit makes a prototype pure, hence the variant with a minimum; larger patches are
    purer, hence larger boxes are cut. Chance is the purity of patches of the same size at random places of the same
    images. Prototypes without any visible part are left out; ``definition="released"`` counts them as 0. The interval
    resamples images among those whose patches were chosen.

    Args:
        prototypes: P.
        size: height and width of the model's input.
        side: largest side of a patch, in pixels of an image of 224.
        best: the number of images per prototype.
        least_similarity: takes all images above this similarity instead.
        least_visible: the variant leaves out parts that are visible in fewer of a prototype's images.
        relevant: (P,) bool, the prototypes that count; in the paper those with a weight above 1e-5.
        definition: "default" or "released".
        seed: of the interval and of the random places.

    Example:
        >>> metric = Purity(1, (224, 224))
        >>> regions = Regions((224, 224), points=torch.full((2, 1, 2), 100.0))
        >>> boxes = torch.tensor([[[90.0, 90.0, 122.0, 122.0]], [[0.0, 0.0, 32.0, 32.0]]])
        >>> metric.update(torch.tensor([[0.9], [0.8]]), boxes, regions, torch.tensor([0, 1]))
        >>> metric.compute().item()
        0.5
    """

    higher_is_better = True
    patches: list[Tensor]
    points: list[Tensor]
    shown: list[Tensor]
    parts: list[Tensor]

    def __init__(
        self,
        prototypes: int,
        size: tuple[int, int],
        *,
        side: float = SIDE,
        best: int = BEST,
        least_similarity: float | None = None,
        least_visible: int = LEAST_VISIBLE,
        relevant: Tensor | None = None,
        definition: str = "default",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.prototypes, self.size, self.best = prototypes, size, best
        self.side = (side * size[1] / PAPER_SIDE, side * size[0] / PAPER_SIDE)
        self.least_similarity, self.least_visible = least_similarity, least_visible
        self.relevant = torch.ones(prototypes, dtype=torch.bool) if relevant is None else relevant.cpu()
        self.definition, self.seed = definition, seed
        self._add_rows(*ROWS)

    def update(self, similarities: Tensor, boxes: Tensor, regions: Regions, indices: Tensor) -> None:
        """Add a batch of images.

        Args:
            similarities: (B, P).
            boxes: (B, P, 4) the patch of each prototype, x0, y0, x1, y1; see `cell_patches`.
            regions: points, or boxes whose centres are taken, of the whole (not cropped) images.
            indices: (B,) int64, numbers of the images; an image that comes twice counts once.
        """
        chosen = self.relevant.to(similarities.device).expand(similarities.shape) & ~similarities.isnan()
        if self.least_similarity is not None:
            chosen = chosen & (similarities > self.least_similarity)
        rows, which = chosen.nonzero(as_tuple=True)
        values, images = similarities[rows, which].double(), indices.to(rows.device)[rows]
        limit = self.best if self.least_similarity is None else len(indices)
        kept = best_rows(which, values, images, limit)
        rows, which = rows[kept], which[kept]
        head = torch.stack([which.double(), images[kept].double(), values[kept]], dim=1)
        self.patches.append(torch.cat([head, cut_to(boxes[rows, which], self.side)], dim=1))
        self.points.append(regions.as_points()[rows])
        self.shown.append(regions.shown[rows])
        self.parts.append(regions.part_of.expand(len(rows), -1))
        if self.least_similarity is None:  # memory stays bounded
            self._keep_best()

    def _keep_best(self) -> None:
        patches = self._rows("patches")
        kept = best_rows(patches[:, 0].long(), patches[:, 2], patches[:, 1].long(), self.best)
        for name in ROWS:
            setattr(self, name, [self._rows(name)[kept]])

    def _gathered(self) -> tuple[Tensor, Tensor, Tensor, Regions] | None:
        """Return prototypes, images and boxes of the chosen patches, and the regions of their images, on the CPU."""
        patches, points, shown, parts = (self._rows(name).cpu() for name in ROWS)
        if not len(patches):
            return None
        which, images = patches[:, 0].long(), patches[:, 1].long()
        limit = self.best if self.least_similarity is None else len(patches)
        kept = best_rows(which, patches[:, 2], images, limit)
        regions = Regions(self.size, points=points[kept], visible=shown[kept], parts=parts[0])
        return which[kept], images[kept], patches[kept, 3:], regions

    def _value(self) -> float:
        rows = self._gathered()
        if rows is None:
            return float("nan")
        which, _, boxes, regions = rows
        return float(self._per_prototype(part_hits(boxes, regions), which).nanmean())

    def _per_prototype(
        self, hits: Hits, which: Tensor, least_visible: float = 1, weights: Tensor | None = None
    ) -> Tensor:
        values = purity(hits, which, self.prototypes, least_visible=least_visible, weights=weights)
        if self.definition == "released":
            used = torch.bincount(which, minlength=self.prototypes) > 0
            values = torch.where(values.isnan() & used, 0.0, values)
        return values

    def _summary(self) -> Summary:
        rows = self._gathered()
        if rows is None:
            nothing = Interval(float("nan"), float("nan"))
            return Summary("purity", float("nan"), nothing, True, definition=self.definition)
        which, images, boxes, regions = rows
        hits = part_hits(boxes, regions)
        values = self._per_prototype(hits, which)
        _, numbers = torch.unique(images, return_inverse=True)

        def statistic(weights: Tensor) -> Tensor:
            return self._per_prototype(hits, which, weights=weights[numbers]).nanmean()

        used = torch.bincount(which, minlength=self.prototypes)
        rest = values[~values.isnan()]
        return Summary(
            "purity",
            float(values.nanmean()),
            bootstrap_interval(statistic, int(numbers.max()) + 1, seed=self.seed),
            True,
            baselines={"same patches at random places": self._chance(which, boxes, regions)},
            variants={
                f"parts visible in at least {self.least_visible} images": float(
                    self._per_prototype(hits, which, self.least_visible).nanmean()
                ),
                "standard deviation over prototypes": float(rest.std(correction=0)),
            },
            counts={
                "images": int(numbers.max()) + 1,
                "prototypes": len(rest),
                "prototypes above 0.5": int((rest > 0.5).sum()),
                "irrelevant prototypes": int((~self.relevant).sum()),
                "relevant prototypes without images": int((self.relevant & (used == 0)).sum()),
                "prototypes without a visible part": int(((used > 0) & values.isnan()).sum()),
                "prototypes with fewer images than asked for": int(((used > 0) & (used < self.best)).sum()),
            },
            definition=self.definition,
        )

    def _chance(self, which: Tensor, boxes: Tensor, regions: Regions) -> float:
        generator = torch.Generator().manual_seed(self.seed)
        sides = boxes[:, 2:] - boxes[:, :2]
        room = (torch.tensor([self.size[1], self.size[0]], dtype=torch.float64) - sides).clamp_min(0)
        means = []
        for _ in range(CHANCE_DRAWS):
            low = room * torch.rand(room.shape, generator=generator, dtype=torch.float64)
            random = torch.cat([low, low + sides], dim=1)
            means.append(float(self._per_prototype(part_hits(random, regions), which).nanmean()))
        return sum(means) / len(means)
