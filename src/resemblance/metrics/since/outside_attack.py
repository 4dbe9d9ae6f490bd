"""Change the pixels outside of what a prototype marks, so that the prototype is found less."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from resemblance.metrics.since.hits import scaled_half
from resemblance.prototypes.maps import PERCENT, percentile_boxes, upsample
from resemblance.training.attacks.noise import ImageNoise
from resemblance.training.attacks.pgd import Attacked, pgd

MARGIN = 10  # pixels of 224
EPS, STEP, STEPS = 8 / 255, 2 / 255, 20
RELEASED_EPS = 0.4  # in the units of the normalised image


def outside_of(
    maps: Tensor, size: tuple[int, int], *, percent: float = PERCENT, margin: float = MARGIN
) -> Tensor:
    """Return the pixels outside of the box that a prototype marks.

    Args:
        maps: (B, h, w) similarity maps, enlarged bicubically.
        size: height and width of the image.
        percent: the box holds all pixels at or above this percentile.
        margin: by which the box is enlarged on each side, in pixels of an image of 224.

    Returns:
        (B, 1, H, W) bool; all False where the box fills the image.

    Example:
        >>> maps = torch.zeros(1, 7, 7)
        >>> maps[0, 3, 3] = 1.0
        >>> outside_of(maps, (224, 224))[0, 0, 112].sum().item()
        150
    """
    height, width = size
    boxes = percentile_boxes(upsample(maps, size), percent)
    reach_x, reach_y = scaled_half(margin, size)
    x = torch.arange(width, device=maps.device)
    y = torch.arange(height, device=maps.device)
    x0, y0, x1, y1 = boxes.T[..., None]
    in_x = (x >= x0 - reach_x) & (x < x1 + reach_x)
    in_y = (y >= y0 - reach_y) & (y < y1 + reach_y)
    inside: Tensor = in_y[:, :, None] & in_x[:, None, :]
    return ~inside[:, None]


def outside_attack(
    similarity: Callable[[Tensor], Tensor],
    images: Tensor,
    outside: Tensor,
    *,
    definition: str = "default",
    eps: float = EPS,
    step: float = STEP,
    steps: int = STEPS,
    std: Sequence[float] | None = None,
    noise: ImageNoise | None = None,
) -> Attacked:
    """Lower a similarity by changing pixels outside of a box.

    Args:
        similarity: computes (B,) from (B, C, H, W): each image's similarity to its prototype.
        images: (B, C, H, W) in [0, 1].
        outside: (B, 1, H, W) bool, the pixels that may change; see `outside_of`.
        definition: "default" is PGD. "released" is what the code of Sacha et al. 2024 does: uniform noise of ±0.4 in
            the units of the normalised image, without any attack (its loss is 0 for every image), not kept in [0, 1].
        eps: largest change of a pixel of the attack.
        step: change per step.
        steps: number of steps.
        std: the standard deviation per channel by which the model divides, for the noise; by default 1.
        noise: draws the noise; by default with seed 0.

    Returns:
        The attacked images; ``before`` and ``after`` are similarities.

    Example:
        >>> images, outside = torch.full((1, 1, 2, 2), 0.5), torch.tensor([[[[True, False], [False, False]]]])
        >>> attacked = outside_attack(lambda x: x.sum(dim=(1, 2, 3)), images, outside, eps=0.1, step=0.1)
        >>> [round(value, 3) for value in attacked.images.flatten().tolist()]
        [0.4, 0.5, 0.5, 0.5]
    """
    if definition == "released":
        scale = torch.ones(images.shape[1]) if std is None else torch.tensor(std)
        drawn = (noise or ImageNoise()).uniform(images, RELEASED_EPS)
        changed = torch.where(outside, images + drawn * scale.to(images)[:, None, None], images)
        with torch.no_grad():
            before, after = similarity(images), similarity(changed)
        return Attacked(changed, before, after, torch.ones_like(before, dtype=torch.bool))
    attacked = pgd(lambda x: -similarity(x), images, eps=eps, step=step, steps=steps, mask=outside)
    return attacked._replace(before=-attacked.before, after=-attacked.after)
