"""Attacks by the sign of the gradient within an L∞ ball: FGSM and PGD."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from resemblance.training.attacks.noise import uniform_noise

Objective = Callable[[Tensor], Tensor]


class Attacked(NamedTuple):
    """Attacked images, with what the attack achieved.

    Args:
        images: (B, C, H, W) in [0, 1], the best of all steps for each image; the image itself if nothing was better.
        before: (B,) objective of the images as they were.
        after: (B,) objective of the attacked images.
        blind: (B,) bool; the gradient was zero or not a number at every step, so that nothing was attacked.
    """

    images: Tensor
    before: Tensor
    after: Tensor
    blind: Tensor


def pgd(
    objective: Objective,
    images: Tensor,
    *,
    eps: float = 8 / 255,
    step: float = 2 / 255,
    steps: int = 10,
    mask: Tensor | None = None,
    start: int | None = None,
    indices: Tensor | Sequence[int] | None = None,
) -> Attacked:
    """Raise an objective by projected gradient ascent on the images.

    Each step costs one forward and one backward pass of the batch; one forward pass before the first step and one after
    the last measure the objective. The caller puts the model into evaluation mode; gradients are computed even under
    ``torch.no_grad()``. Source: Madry et al. 2018, section 2.1.

    Args:
        objective: computes (B,) from (B, C, H, W), each entry from its own image alone.
        images: (B, C, H, W) in [0, 1].
        eps: largest change of a pixel, in the units of [0, 1].
        step: change per step.
        steps: number of steps.
        mask: (B, 1, H, W) or (B, C, H, W) bool, the pixels that may change; by default all.
        start: the seed of a random start within the ball; None starts at the image itself.
        indices: (B,) numbers of the images, for the random start; by default their places in the batch.

    Raises:
        ValueError: if the objective does not return one value per image, or a length is negative.

    Example:
        >>> images = torch.full((2, 1, 2, 2), 0.5)
        >>> attacked = pgd(lambda x: x.sum(dim=(1, 2, 3)), images, eps=0.1, step=0.1, steps=1)
        >>> attacked.images[0, 0].tolist() == torch.full((2, 2), 0.6).tolist(), attacked.blind.tolist()
        (True, [False, False])
    """
    if min(eps, step, steps) < 0:
        raise ValueError(f"eps, step and steps must not be negative: {eps}, {step}, {steps}")
    images = images.detach()
    low, high = (images - eps).clamp_min(0), (images + eps).clamp_max(1)
    if mask is not None:
        low, high = torch.where(mask, low, images), torch.where(mask, high, images)
    with torch.no_grad():
        before = _values(objective, images)
    best, best_value = images.clone(), before.clone()
    blind = torch.ones(len(images), dtype=torch.bool, device=images.device)
    current = images
    if start is not None:
        noise = uniform_noise(images, eps, seed=start, indices=indices)
        current = (images + noise).clamp(low, high)
    for number in range(steps + 1):
        last = number == steps
        current = current.detach().requires_grad_(not last)
        with torch.set_grad_enabled(not last):
            value = _values(objective, current)
        better = value.detach() > best_value
        best = torch.where(better[:, None, None, None], current.detach(), best)
        best_value = torch.where(better, value.detach(), best_value)
        if last:
            break
        # An objective that no pixel reaches has no graph at all: the attack is blind to it.
        if value.requires_grad:
            (gradient,) = torch.autograd.grad(value, current, torch.ones_like(value), allow_unused=True)
        else:
            gradient = None
        direction = torch.zeros_like(images) if gradient is None else gradient.nan_to_num(0).sign()
        blind &= ~direction.flatten(1).any(dim=1)
        current = (current.detach() + step * direction).clamp(low, high)
    return Attacked(best, before, best_value, blind)


def fgsm(
    objective: Objective, images: Tensor, *, eps: float = 8 / 255, mask: Tensor | None = None
) -> Attacked:
    """Raise an objective by a single step along the sign of its gradient.

    Source: Goodfellow et al. 2015, section 4.

    Args:
        objective: computes (B,) from (B, C, H, W), each entry from its own image alone.
        images: (B, C, H, W) in [0, 1].
        eps: change of each pixel, in the units of [0, 1].
        mask: (B, 1, H, W) or (B, C, H, W) bool, the pixels that may change; by default all.

    Example:
        >>> fgsm(lambda x: -x.mean(dim=(1, 2, 3)), torch.ones(1, 1, 2, 2), eps=0.25).images.unique().tolist()
        [0.75]
    """
    return pgd(objective, images, eps=eps, step=eps, steps=1, mask=mask)


def _values(objective: Objective, images: Tensor) -> Tensor:
    values = objective(images)
    if values.shape != (len(images),):
        raise ValueError(
            f"the objective returned {tuple(values.shape)} for {len(images)} images, not one value for each"
        )
    return values
