"""Consistency: does a prototype point at the same part of the object in every image of its class?"""

from __future__ import annotations

import torch
from torch import Tensor

from resemblance.data.regions.regions import Regions
from resemblance.metrics.since.bootstrap import Interval, bootstrap_interval
from resemblance.metrics.since.hits import boxes_about, constant, maximum_places, part_hits, scaled_half
from resemblance.metrics.since.summary import SummarizedMetric, Summary
from resemblance.metrics.since.trivial_baselines import cell_places, random_places

HALF = 36  # pixels of 224
LEAST_SHARE = 0.8
LEAST_VISIBLE = 10
RANDOM_DRAWS = 20


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


def consistent(
    hits: Tensor, seen: Tensor, least_share: float = LEAST_SHARE, least_visible: float = 0
) -> Tensor:
    """Return which prototypes hit one part in at least ``least_share`` of the images that show it.

    A part that no image shows counts as never hit. Source: Huang et al. 2023.

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


class Consistency(SummarizedMetric):
    """Share of the prototypes that point at one part of the object, in per cent.

    A box about the maximum of the enlarged map hits the parts whose points lie in it; a prototype is consistent if it
    hits one part in at least 80 % of the images of its class that show the part. Only prototypes of an image's true
    class count. Source: Huang et al. 2023.

    A prototype that always marks the same place of the picture, and knows nothing, is consistent where objects are
    centred: compare with the baselines. ``definition="released"`` counts a map without a maximum as marking the first
    pixel; by default it hits nothing. Prototypes without any image of their classes are left out.

    Args:
        prototypes: P.
        size: height and width of the model's input.
        half: half the side of the box, in pixels of an image of 224.
        least_share: of the images that show the part, in [0, 1].
        least_visible: the variant leaves out parts that fewer images of the class show.
        grid: rows and columns of the constant places of the baselines.
        usage: (P,) weights of the prototypes for a further variant, for instance their counts of activations.
        definition: "default" or "released".
        seed: of the interval and of the random places.

    Example:
        >>> metric = Consistency(1, (224, 224))
        >>> maps = torch.zeros(2, 1, 7, 7)
        >>> maps[:, :, 3, 3] = 1.0
        >>> regions = Regions((224, 224), points=torch.tensor([[[112.0, 112.0]], [[90.0, 130.0]]]))
        >>> metric.update(maps, torch.zeros(2, 1).long(), torch.zeros(2).long(), regions)
        >>> metric.compute().item(), metric.summary().baselines["centre"]
        (100.0, 100.0)
    """

    higher_is_better = True
    hits: list[Tensor]
    which: list[Tensor]
    labels: list[Tensor]
    points: list[Tensor]
    shown: list[Tensor]
    parts: list[Tensor]
    flat: list[Tensor]

    def __init__(
        self,
        prototypes: int,
        size: tuple[int, int],
        *,
        half: float = HALF,
        least_share: float = LEAST_SHARE,
        least_visible: int = LEAST_VISIBLE,
        grid: tuple[int, int] = (7, 7),
        usage: Tensor | None = None,
        definition: str = "default",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.prototypes, self.size, self.grid = prototypes, size, grid
        self.reach = scaled_half(half, size)
        self.least_share, self.least_visible = least_share, least_visible
        self.usage, self.definition, self.seed = usage, definition, seed
        self._add_rows("hits", "which", "labels", "points", "shown", "parts", "flat")

    def update(self, maps: Tensor, which: Tensor, labels: Tensor, regions: Regions) -> None:
        """Add a batch of images.

        Args:
            maps: (B, K, h, w) similarity maps of the prototypes of the true class, of any size.
            which: (B, K) int64, these prototypes; −1 for none.
            labels: (B,) true classes.
            regions: points, or boxes whose centres are taken.
        """
        flat = constant(maps)
        boxes = boxes_about(maximum_places(maps, self.size), self.reach, self.size)
        hits = part_hits(boxes, regions).hits
        if self.definition == "default":
            hits = hits & ~flat[..., None]
        self.hits.append(hits)
        self.which.append(which)
        self.labels.append(labels)
        self.points.append(regions.as_points())
        self.shown.append(regions.shown)
        self.parts.append(regions.part_of.expand(len(regions), -1))
        self.flat.append(flat & (which >= 0))

    def _value(self) -> float:
        rows = self._gathered()
        return self._score(rows[0], rows[1].visible_parts(), rows[2]) if rows else float("nan")

    def _gathered(self) -> tuple[Tensor, Regions, Tensor, Tensor] | None:
        """Return hits, regions, prototypes and labels of all images, on the CPU."""
        hits = self._rows("hits").cpu()
        if not hits.numel():
            return None
        regions = Regions(
            self.size,
            points=self._rows("points").cpu(),
            visible=self._rows("shown").cpu(),
            parts=self._rows("parts")[0].cpu(),
            names=tuple(f"part {part}" for part in range(hits.shape[-1])),
        )
        return hits, regions, self._rows("which").cpu(), self._rows("labels").cpu()

    def _score(
        self,
        hits: Tensor,
        visible: Tensor,
        which: Tensor,
        *,
        weights: Tensor | None = None,
        least_visible: int = 0,
        usage: Tensor | None = None,
    ) -> float:
        """Return the (weighted) share of consistent prototypes in per cent, of those with images."""
        counts = part_shares(hits, visible, which, self.prototypes, weights)
        rows = which if weights is None else which[weights > 0]
        with_images = torch.bincount(rows[rows >= 0], minlength=self.prototypes) > 0
        passed = consistent(*counts, self.least_share, least_visible)
        kept = with_images & ~passed.isnan()
        weight = torch.ones_like(passed) if usage is None else usage.to(passed)
        return float(100 * (passed * weight)[kept].sum() / weight[kept].sum())

    def _summary(self) -> Summary:
        rows = self._gathered()
        if rows is None:
            nothing = Interval(float("nan"), float("nan"))
            return Summary("consistency", float("nan"), nothing, True, definition=self.definition)
        hits, regions, which, labels = rows
        visible = regions.visible_parts()
        least = f"parts visible in at least {self.least_visible} images"

        def statistic(weights: Tensor) -> float:
            return self._score(hits, visible, which, weights=weights)

        variants = {least: self._score(hits, visible, which, least_visible=self.least_visible)}
        if self.usage is not None:
            variants["weighted by usage"] = self._score(hits, visible, which, usage=self.usage)
        constant_scores, enough_scores = self._constant_places(regions, which, labels)
        best = int(constant_scores.nan_to_num(-1).argmax())
        centre = self._place_score(_middle(self.size), regions, which, labels)
        seen = part_shares(hits, visible, which, self.prototypes)[1]
        used = torch.bincount(which[which >= 0], minlength=self.prototypes) > 0
        return Summary(
            "consistency",
            self._value(),
            bootstrap_interval(statistic, len(hits), groups=labels, seed=self.seed),
            True,
            baselines={
                "best constant place": float(constant_scores[best]),
                "centre": centre,
                "mean constant place": float(constant_scores.mean()),
                "random place": self._random_places(regions, which, labels),
                f"best constant place, {least}": float(enough_scores.nan_to_num(-1).max()),
            },
            variants=variants,
            counts={
                "images": len(hits),
                "prototypes": int(used.sum()),
                "prototypes without images": int((~used).sum()),
                "images without a visible part": int((~visible.any(dim=1)).sum()),
                "maps without a maximum": int(self._rows("flat").sum()),
                "parts of prototypes visible in no image": int((seen[used] == 0).sum()),
                "parts of prototypes visible in too few images": int(
                    ((seen > 0) & (seen < self.least_visible))[used].sum()
                ),
                "row of the best constant place": best // self.grid[1],
                "column of the best constant place": best % self.grid[1],
            },
            definition=self.definition,
        )

    def _constant_places(self, regions: Regions, which: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores of each constant place, without and with the minimum of visible images."""
        places = cell_places(self.grid, self.size)
        scores = [
            [self._place_score(place, regions, which, labels, least) for place in places]
            for least in (0, self.least_visible)
        ]
        plain, enough = torch.tensor(scores, dtype=torch.float64)
        return plain, enough

    def _place_score(
        self, places: Tensor, regions: Regions, which: Tensor, labels: Tensor, least_visible: int = 0
    ) -> float:
        """Return the score of prototypes that mark places (2,) or, image by image, (N, 1, 2)."""
        boxes = boxes_about(places.expand(len(labels), 1, 2), self.reach, self.size)
        hits, visible = part_hits(boxes, regions)
        # One prototype stands for all of its class, which would have the same hits.
        _, classes = torch.unique(labels, return_inverse=True)
        counts = part_shares(hits, visible, classes[:, None], int(classes.max()) + 1)
        passed = consistent(*counts, self.least_share, least_visible)
        weights = _prototypes_per_class(classes, which)
        kept = ~passed.isnan()
        return float(100 * (passed * weights)[kept].sum() / weights[kept].sum())

    def _random_places(self, regions: Regions, which: Tensor, labels: Tensor) -> float:
        shape = (RANDOM_DRAWS, len(labels), 1)
        draws = random_places(shape, self.size, self.seed)
        scores = [self._place_score(places, regions, which, labels) for places in draws]
        return sum(scores) / len(scores)


def _middle(size: tuple[int, int]) -> Tensor:
    return torch.tensor([size[1] // 2, size[0] // 2])


def _prototypes_per_class(classes: Tensor, which: Tensor) -> Tensor:
    """Return the number of prototypes (C,) float64 that images of each class were compared with."""
    pairs = torch.stack([classes[:, None].expand_as(which), which], dim=-1)[which >= 0]
    pairs = torch.unique(pairs, dim=0)
    return torch.bincount(pairs[:, 0], minlength=int(classes.max()) + 1).double()
