"""Attacks by the sign of the gradient within an L∞ ball: FGSM and PGD."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from resemblance.training.attacks.noise import ImageNoise

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


class Ball(NamedTuple):
    """The images within reach of an attack: the L∞ ball about each image, cut at the range of pixels.

    Args:
        low: (B, C, H, W), the smallest value of each pixel.
        high: (B, C, H, W), the largest.
    """

    low: Tensor
    high: Tensor

    @classmethod
    def around(cls, images: Tensor, eps: float, mask: Tensor | None = None) -> Ball:
        """Return the ball of radius ``eps`` about images (B, C, H, W) in [0, 1]; outside of a mask, nothing changes.

        Example:
            >>> ball = Ball.around(torch.tensor([[[[0.0, 0.5]]]]), 0.25)
            >>> ball.low.tolist(), ball.high.tolist()
            ([[[[0.0, 0.25]]]], [[[[0.25, 0.75]]]])
        """
        low, high = (images - eps).clamp_min(0), (images + eps).clamp_max(1)
        if mask is None:
            return cls(low, high)
        return cls(torch.where(mask, low, images), torch.where(mask, high, images))

    def nearest(self, images: Tensor) -> Tensor:
        """Return the images in the ball that are nearest to images (B, C, H, W)."""
        return images.clamp(self.low, self.high)


class Step(NamedTuple):
    """One step of an attack.

    Args:
        images: (B, C, H, W) after the step.
        value: (B,) objective of the images before it.
        blind: (B,) bool; the gradient was zero or not a number.
    """

    images: Tensor
    value: Tensor
    blind: Tensor


def sign_step(objective: Objective, images: Tensor, step: float, ball: Ball) -> Step:
    """Move images by ``step`` along the sign of the gradient of an objective, within a ball.

    It costs one forward and one backward pass. Gradients are computed even under ``torch.no_grad()``, and for the
    images alone: parameters receive none.

    Args:
        objective: computes (B,) from (B, C, H, W), each entry from its own image alone.
        images: (B, C, H, W) in the ball.
        step: change of each pixel, in the units of [0, 1].
        ball: what the result is kept in.

    Example:
        >>> images = torch.full((1, 1, 1, 1), 0.5)
        >>> sign_step(lambda x: x.sum(dim=(1, 2, 3)), images, 0.2, Ball.around(images, 0.1)).images.item()
        0.6000000238418579
    """
    current = images.detach().requires_grad_()
    with torch.enable_grad():
        value = _values(objective, current)
    # An objective that no pixel reaches has no graph at all: the attack is blind to it.
    gradient = None
    if value.requires_grad:
        (gradient,) = torch.autograd.grad(value, current, torch.ones_like(value), allow_unused=True)
    direction = torch.zeros_like(images) if gradient is None else gradient.nan_to_num(0).sign()
    moved = ball.nearest(current.detach() + step * direction)
    return Step(moved, value.detach(), ~direction.flatten(1).any(dim=1))


def pgd(
    objective: Objective,
    images: Tensor,
    *,
    eps: float = 8 / 255,
    step: float = 2 / 255,
    steps: int = 10,
    mask: Tensor | None = None,
    start: ImageNoise | None = None,
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
        start: draws a random start within the ball; None starts at the image itself.

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
    ball = Ball.around(images, eps, mask)
    with torch.no_grad():
        before = _values(objective, images)
    blind = torch.ones(len(images), dtype=torch.bool, device=images.device)
    current = images
    if start is not None:
        current = ball.nearest(images + start.uniform(images, eps))
    best, best_value = images.clone(), before
    for _ in range(steps):
        taken = sign_step(objective, current, step, ball)
        best, best_value = _better(best, best_value, current, taken.value)
        blind &= taken.blind
        current = taken.images
    with torch.no_grad():
        value = _values(objective, current)
    best, best_value = _better(best, best_value, current, value)
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


def _better(best: Tensor, best_value: Tensor, images: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Return, image by image, whichever has the larger objective, and the objective."""
    better = value > best_value
    return torch.where(better[:, None, None, None], images, best), torch.where(better, value, best_value)


def _values(objective: Objective, images: Tensor) -> Tensor:
    values = objective(images)
    if values.shape != (len(images),):
        raise ValueError(
            f"the objective returned {tuple(values.shape)} for {len(images)} images, not one value for each"
        )
    return values
