"""Relevance ordering (RO): the probability of the predicted class as the most important pixels are added."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from resemblance.metrics.measure import MeanMeasure
from resemblance.metrics.paper.pixels import ranks_of
from resemblance.prototypes.precision import widest

FRACTIONS = 101


def fractions_of(count: int = FRACTIONS) -> Tensor:
    """Return evenly spaced fractions of pixels, with 0 and 1, float64.

    Example:
        >>> fractions_of(3).tolist()
        [0.0, 0.5, 1.0]
    """
    return torch.linspace(0, 1, count, dtype=torch.float64)


def ordering_curves(
    probabilities_of: Callable[[Tensor], Tensor],
    images: Tensor,
    order: Tensor,
    classes: Tensor,
    baseline: Tensor,
    *,
    fractions: Tensor | None = None,
    batch_size: int = 128,
) -> Tensor:
    """Compute the probability of each image's class with its most important pixels only, at each fraction of pixels.

    Images are made a batch at a time; the model answers B × F images.

    Args:
        probabilities_of: the model: images (n, C, H, W) → probabilities (n, classes).
        images: (B, C, H, W) in [0, 1].
        order: (B, HW), from the least to the most important pixel, see `pixels.pixel_order`.
        classes: (B,), the class predicted for the clean image.
        baseline: (B, C, H, W), what stands in place of pixels not yet added, see `pixels.baseline_images`.
        fractions: (F,) shares of pixels in [0, 1], increasing; by default 101. Pixels are counted, not channels, and
            their number is rounded.
        batch_size: images that the model answers at once.

    Returns:
        (B, F) float64.

    Example:
        >>> def brightness(images):
        ...     share = images.flatten(1).mean(dim=1)
        ...     return torch.stack([share, 1 - share], dim=1)
        >>> images = torch.ones(1, 1, 2, 2)
        >>> order, first = torch.tensor([[3, 0, 2, 1]]), torch.tensor([0])
        >>> ordering_curves(brightness, images, order, first, torch.zeros_like(images), fractions=fractions_of(5))
        tensor([[0.0000, 0.2500, 0.5000, 0.7500, 1.0000]], dtype=torch.float64)
    """
    steps = (fractions_of() if fractions is None else fractions).to("cpu", torch.float64)
    pixels = order.shape[-1]
    missing = (pixels - (steps * pixels).round().long()).to(images.device)
    ranks = ranks_of(order).reshape(len(images), *images.shape[-2:])
    rows = torch.arange(len(images), device=images.device).repeat_interleave(len(steps))
    missing = missing.repeat(len(images))
    answers = []
    for chosen, absent in zip(torch.split(rows, batch_size), torch.split(missing, batch_size), strict=True):
        kept = ranks[chosen] >= absent[:, None, None]
        mixed = torch.where(kept[:, None], images[chosen], baseline[chosen])
        probabilities = probabilities_of(mixed)
        wanted = classes.to(probabilities.device)[chosen.to(probabilities.device)]
        answers.append(probabilities.gather(1, wanted[:, None])[:, 0].to(widest(probabilities.device)))
    return torch.cat(answers).reshape(len(images), len(steps))


def area(curves: Tensor, fractions: Tensor) -> Tensor:
    """Compute the area under curves (..., F) by trapezoids.

    Example:
        >>> round(area(torch.tensor([0.1, 0.4, 0.7, 0.9]), fractions_of(4)).item(), 6)
        0.533333
    """
    wide = widest(curves.device)
    return torch.trapezoid(curves.to(wide), fractions.to(wide).to(curves.device), dim=-1)


class RelevanceOrdering(MeanMeasure):
    """RO: the mean area under the curves of relevance ordering; higher is better, than random order above all.

    The curves start at the baseline image and end at the clean one, so that their ends are the same for any order.

    Args:
        fractions: the number of evenly spaced fractions of pixels, or the fractions themselves, (F,).

    Attributes:
        counts: measured images; undefined, images left out because a probability is NaN; zero_maps, measured images
            whose map is zero everywhere, which are ordered at random.

    Source: Gautam et al. 2024 (KMEx), figure 3; MacDonald et al. 2019.

    Example:
        >>> ordering = RelevanceOrdering(4)
        >>> ordering.update(torch.tensor([[0.1, 0.4, 0.7, 0.9]]), torch.tensor([[0.1, 0.3, 0.5, 0.9]]))
        >>> [round(value.item(), 6) for value in (ordering.compute(), ordering.random_area(), ordering.difference())]
        [0.533333, 0.433333, 0.1]
    """

    higher_is_better = True
    counts: ClassVar[tuple[str, ...]] = ("measured", "undefined", "zero_maps")

    fractions: Tensor
    curves: Tensor
    random_curves: Tensor
    undefined: Tensor
    zero_maps: Tensor

    def __init__(self, fractions: int | Tensor = FRACTIONS) -> None:
        super().__init__()
        chosen = fractions_of(fractions) if isinstance(fractions, int) else fractions.double()
        self.register_buffer("fractions", chosen, persistent=False)
        self.add_sum("curves", len(chosen), dtype=torch.float64)
        self.add_sum("random_curves", len(chosen), dtype=torch.float64)
        self.add_sum("undefined")
        self.add_sum("zero_maps")

    def update(self, curves: Tensor, random_curves: Tensor, zero_maps: Tensor | None = None) -> None:
        """Add the curves of a batch.

        Args:
            curves: (B, F) by relevance, see `ordering_curves`.
            random_curves: (B, F) by `pixels.random_order`.
            zero_maps: (B,) bool: images whose map is zero everywhere.
        """
        valid = (curves.isfinite() & random_curves.isfinite()).all(dim=1)
        wide = widest(curves.device)
        curves_of_valid = curves[valid].to(wide)
        self.add_values(area(curves_of_valid, self.fractions))
        self.accumulate(
            undefined=(~valid).sum(),
            curves=curves_of_valid.sum(dim=0),
            random_curves=random_curves[valid].to(wide).sum(dim=0),
        )
        if zero_maps is not None:
            self.accumulate(zero_maps=(zero_maps & valid).sum())

    def curve(self) -> Tensor:
        """Return the mean curve by relevance, (F,) float64."""
        with self.synchronized():
            return self.curves / self.measured

    def random_curve(self) -> Tensor:
        """Return the mean curve in random order, (F,) float64."""
        with self.synchronized():
            return self.random_curves / self.measured

    def random_area(self) -> Tensor:
        """Return the area under the mean curve in random order."""
        return area(self.random_curve(), self.fractions)

    def difference(self) -> Tensor:
        """Return by how much the area by relevance exceeds that in random order."""
        return area(self.curve(), self.fractions) - self.random_area()
