"""Average drop: how much of a similarity is lost when only the pixels that a map marks are kept."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from resemblance.config.definition import Definition
from resemblance.metrics.measure import MeanMeasure
from resemblance.prototypes.precision import widest

EPSILON = 1e-8  # of the released code, beside Y


def average_drop(clean: Tensor, kept: Tensor) -> Tensor:
    """Compute max(0, Y − O) / Y of each pair: the share of the similarity that is lost.

    Args:
        clean: Y, positive similarities to the clean image, any shape.
        kept: O, similarities to the image with its most important pixels only.

    Example:
        >>> import torch
        >>> average_drop(torch.tensor([2.0, 1.0, 4.0]), torch.tensor([1.5, 1.2, 4.0])).tolist()
        [0.25, 0.0, 0.0]
    """
    wide = widest(clean.device)
    clean, kept = clean.to(wide), kept.to(wide)
    return (clean - kept).clamp_min(0) / clean


class PairMeasure(MeanMeasure):
    """A mean over pairs of a similarity to the clean image, Y, and to the image with some pixels only, O.

    Attributes:
        counts: measured pairs; nonpositive, pairs left out because Y is not positive; undefined, pairs left out because
            of a NaN or an infinite value; zero_maps, measured pairs whose map is zero everywhere, so that a random half
            of the pixels was kept.
    """

    counts: ClassVar[tuple[str, ...]] = ("measured", "nonpositive", "undefined", "zero_maps")

    nonpositive: Tensor
    undefined: Tensor
    zero_maps: Tensor

    def __init__(self, definition: Definition = "default") -> None:
        super().__init__(definition)
        for name in ("nonpositive", "undefined", "zero_maps"):
            self.add_sum(name)

    def update(self, clean: Tensor, kept: Tensor, zero_maps: Tensor | None = None) -> None:
        """Measure pairs.

        Args:
            clean: Y, similarities to clean images, for instance (B, K); of a black box, the probability of the
                predicted class.
            kept: O, of the same shape, to the images with their most important pixels only.
            zero_maps: of the same shape, bool: pairs whose map is zero everywhere, see `pixels.zero_maps`.
        """
        undefined = ~(clean.isfinite() & kept.isfinite())
        nonpositive = (clean <= 0) & ~undefined
        valid = ~(undefined | nonpositive)
        self.add_values(self.pair_values(clean[valid], kept[valid]))
        self.accumulate(nonpositive=nonpositive.sum(), undefined=undefined.sum())
        if zero_maps is not None:
            self.accumulate(zero_maps=(zero_maps & valid).sum())

    def pair_values(self, clean: Tensor, kept: Tensor) -> Tensor:
        """Return the value of each pair, (n,), float64."""
        raise NotImplementedError(type(self).__name__)


class AverageDrop(PairMeasure):
    """AD: the mean share of the similarity that is lost when only the most important half is kept; lower is better.

    A fraction, not ×100. The images with some pixels only are made by `pixels.kept_images`.

    Args:
        definition: ``"released"`` divides by Y + 1e-8. (The authors' code also keeps the least important half: that is
            an option of `pixels.kept_pixels`.)

    Source: Gautam et al. 2024 (KMEx), section 4.1 and table 4; Chattopadhay et al. 2018.

    Example:
        >>> import torch
        >>> drop = AverageDrop()
        >>> drop.update(torch.tensor([2.0, 1.0, 4.0, 0.0]), torch.tensor([1.5, 1.2, 4.0, 1.0]))
        >>> round(drop.compute().item(), 6), drop.counted()["nonpositive"]
        (0.083333, 1)
    """

    higher_is_better = False
    definitions: ClassVar[tuple[Definition, ...]] = ("default", "released")

    def pair_values(self, clean: Tensor, kept: Tensor) -> Tensor:
        """Return max(0, Y − O) / Y."""
        values = average_drop(clean, kept)
        if self.definition == "released":
            return values * clean / (clean.to(values.dtype) + EPSILON)
        return values
