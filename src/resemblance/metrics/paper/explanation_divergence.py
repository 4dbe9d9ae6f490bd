"""D_fdl: how far the explanations of a model are from those of the black box, as a divergence of relevance maps."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from resemblance.metrics.measure import MeanMeasure
from resemblance.prototypes.precision import widest

EPSILON = 1e-12


def map_distributions(maps: Tensor) -> Tensor:
    """Turn relevance maps into distributions over pixels: max over channels of |e|, divided by its sum.

    Args:
        maps: (B, C, H, W), or (B, H, W) of one channel, signed.

    Returns:
        (B, HW) float64; NaN for a map that is zero or not finite.

    Source: Gautam et al. 2024 (KMEx), eq. 2.

    Example:
        >>> import torch
        >>> maps = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]], [[-3.0, 0.0], [0.0, 2.0]]]])
        >>> map_distributions(maps).numpy().round(9).tolist()
        [[0.6, 0.0, 0.0, 0.4]]
    """
    channels = maps if maps.dim() == 4 else maps[:, None]
    strength = channels.to(widest(maps.device)).abs().amax(dim=1).flatten(1)
    strength = strength / strength.amax(dim=1, keepdim=True)  # a sum over pixels could overflow
    return strength / strength.sum(dim=1, keepdim=True)


def explanation_divergence(maps: Tensor, references: Tensor) -> Tensor:
    """Compute the Kullback-Leibler divergence of each map's distribution from its reference's, in nats.

    After normalising, 1e-12 is added to every pixel of both, which keeps it finite where only the reference is 0.

    Args:
        maps: (B, C, H, W) or (B, H, W), signed relevance maps of the model.
        references: the same of the black box.

    Returns:
        (B,) float64, at least 0; NaN where a map is zero or not finite.

    Source: Gautam et al. 2024 (KMEx), eq. 3.

    Example:
        >>> import torch
        >>> maps = torch.tensor([[[0.5, 0.25], [0.25, 0.0]]])
        >>> round(explanation_divergence(maps, torch.ones(1, 2, 2)).item(), 6)
        0.346574
    """
    p, q = _smoothed(map_distributions(maps)), _smoothed(map_distributions(references))
    return (p * (p / q).log()).sum(dim=1).clamp_min(0)


def _smoothed(distributions: Tensor) -> Tensor:
    return (distributions + EPSILON) / (1 + EPSILON * distributions.shape[1])


class ExplanationDivergence(MeanMeasure):
    """D_fdl: the mean divergence of a model's relevance maps from the black box's; lower is better.

    Both maps are for the class that the black box predicts. Neither symmetric nor bounded.

    Attributes:
        counts: measured images; zero, images left out because one of both maps is zero everywhere; undefined, images
            left out because of a NaN or an infinite value; unsupported, measured images with relevance at a pixel
            where the black box has none, where the divergence is finite only because of the 1e-12.

    Source: Gautam et al. 2024 (KMEx), eqs. 2 and 3 and table 6.

    Example:
        >>> import torch
        >>> divergence = ExplanationDivergence()
        >>> maps = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]], [[-3.0, 0.0], [0.0, 2.0]]]])
        >>> divergence.update(maps, torch.ones(1, 1, 2, 2))
        >>> round(divergence.compute().item(), 6)
        0.713283
    """

    higher_is_better = False
    counts: ClassVar[tuple[str, ...]] = ("measured", "zero", "undefined", "unsupported")

    zero: Tensor
    undefined: Tensor
    unsupported: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("zero", "undefined", "unsupported"):
            self.add_sum(name)

    def update(self, maps: Tensor, references: Tensor) -> None:
        """Measure a batch.

        Args:
            maps: (B, C, H, W) or (B, H, W), signed relevance maps of the model.
            references: the same of the black box; heights and widths are equal.
        """
        infinite = _any(~maps.isfinite()) | _any(~references.isfinite())
        zero = (~_any(maps != 0) | ~_any(references != 0)) & ~infinite
        valid = ~(infinite | zero)
        maps, references = maps[valid], references[valid]
        self.add_values(explanation_divergence(maps, references))
        outside = (map_distributions(references) == 0) & (map_distributions(maps) > 0)
        self.accumulate(unsupported=outside.any(dim=1).sum(), undefined=infinite.sum(), zero=zero.sum())


def _any(cells: Tensor) -> Tensor:
    return cells.flatten(1).any(dim=1)
