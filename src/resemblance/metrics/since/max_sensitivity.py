"""Maximum sensitivity: how far do contributions change if the image changes a little?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from resemblance.metrics.since.bootstrap import mean_interval
from resemblance.metrics.since.summary import SummarizedMetric, Summary
from resemblance.training.attacks.noise import ImageNoise

RADIUS = 8 / 255
DRAWS = 10


def largest_change(before: Tensor, after: Tensor) -> Tensor:
    """Return the largest relative change of contributions over several draws.

    max over draws of ‖after − before‖₂ / ‖before‖₂. Source: Yeh et al. 2019, relative to the
    length of the contributions, so that models can be compared.

    Args:
        before: (B, ...) contributions.
        after: (D, B, ...) contributions of D changed images.

    Returns:
        (B,) float64; NaN where all contributions are zero or a value is not finite.

    Example:
        >>> before, after = torch.tensor([[3.0, 4.0]]), torch.tensor([[[3.0, 4.0]], [[3.0, 5.0]]])
        >>> largest_change(before, after).item()
        0.2
    """
    before, after = before.double().flatten(1), after.double().flatten(2)
    lengths = before.norm(dim=1)
    changes: Tensor = (after - before).norm(dim=2).amax(dim=0) / lengths
    return changes.masked_fill((lengths == 0) | ~changes.isfinite(), torch.nan)


@torch.no_grad()
def changed_contributions(
    contributions: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    radius: float = RADIUS,
    draws: int = DRAWS,
    noise: ImageNoise | None = None,
) -> tuple[Tensor, Tensor]:
    """Compute contributions of images, and of images at random places of the L∞ ball around them.

    Args:
        contributions: computes (B, ...) from (B, C, H, W), for the same classes each time.
        images: (B, C, H, W) in [0, 1]; changed images stay within it.
        radius: of the ball, in the units of [0, 1].
        draws: D.
        noise: draws the places; by default with seed 0.

    Returns:
        (B, ...) and (D, B, ...).

    Example:
        >>> before, after = changed_contributions(lambda x: x.flatten(1), torch.rand(2, 1, 4, 4), draws=3)
        >>> before.shape, after.shape, bool(((after - before).abs() <= RADIUS + 1e-6).all())
        (torch.Size([2, 16]), torch.Size([3, 2, 16]), True)
    """
    noise, before = noise or ImageNoise(), contributions(images)
    after = [
        contributions((images + noise.uniform(images, radius, number)).clamp(0, 1)) for number in range(draws)
    ]
    return before, torch.stack(after)


class MaximumSensitivity(SummarizedMetric):
    """Mean over images of the largest relative change of contributions near the image; lower is better.

    The contributions come from `changed_contributions`. Source: Yeh et al. 2019. Contributions that never change score
    0, whatever they say: read it together with the accuracy. Random draws find less than the true maximum. Images
    whose contributions are all zero are left out and counted.

    Args:
        seed: of the interval.

    Example:
        >>> metric = MaximumSensitivity()
        >>> metric.update(torch.tensor([[3.0, 4.0]]), torch.tensor([[[3.0, 5.0]]]))
        >>> metric.compute().item()
        0.2
    """

    higher_is_better = False
    values: list[Tensor]

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed
        self._add_rows("values")

    def update(self, before: Tensor, after: Tensor) -> None:
        """Add contributions (B, ...) of images, and (D, B, ...) of changed images."""
        self.values.append(largest_change(before, after))

    def _value(self) -> float:
        return float(self._rows("values").nanmean())

    def _summary(self) -> Summary:
        values = self._rows("values").cpu()
        rest = values[~values.isnan()]
        return Summary(
            "maximum sensitivity",
            self._value(),
            mean_interval(values, seed=self.seed),
            False,
            baselines={"constant contributions": 0.0},
            variants={
                "median": float(rest.median()) if len(rest) else float("nan"),
                "largest": float(rest.max()) if len(rest) else float("nan"),
            },
            counts={"images": len(values), "images left out": len(values) - len(rest)},
        )
