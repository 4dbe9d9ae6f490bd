"""The stability of SENN's relevances: local Lipschitz estimates (Alvarez-Melis and Jaakkola 2018, section 5)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from resemblance.methods.senn.model import SENN


@dataclass(frozen=True)
class Stability:
    """How much relevances change if images change slightly.

    Args:
        by_concepts: (N,), the largest ‖θ(x) − θ(z)‖ / ‖h(x) − h(z)‖ found.
        by_pixels: (N,), the largest ‖θ(x) − θ(z)‖ / ‖x − z‖ found.
        images: (N, C, H, W), the z with the former ratio.
        theta: (N, K, C), relevances at x.
        moved: (N, K, C), relevances at that z.
        predictions: (N,), predicted classes at x.
    """

    by_concepts: Tensor
    by_pixels: Tensor
    images: Tensor
    theta: Tensor
    moved: Tensor
    predictions: Tensor


@torch.no_grad()
def local_stability(
    model: SENN, images: Tensor, *, radius: float = 0.1, draws: int = 50, seed: int = 0
) -> Stability:
    """Estimate local Lipschitz constants of θ, with respect to h as in the paper, and to the pixels.

    They are the largest ratio over images z whose pixels differ by at most ``radius``. Here the z are drawn at random;
    the paper optimises z: the values here are lower bounds of its values.

    Args:
        model: in evaluation mode.
        images: (N, C, H, W) in [0, 1].
        radius: in units of [0, 1].
        draws: number of z per image.
        seed: seed of the random draws.
    """
    generator = torch.Generator().manual_seed(seed)
    images = images.to(model.device)
    output = model(images)
    h, theta = output.latents[:, : model.config.concepts], output.extras["theta"]
    best = torch.full((len(images),), -1.0, device=model.device)
    pixelwise, worst, moved = best.clone(), images.clone(), theta.clone()
    for _ in range(draws):
        noise = torch.rand(images.shape, generator=generator).to(images) * 2 - 1
        z = (images + radius * noise).clamp(0, 1)
        changed = model(z)
        change = (changed.extras["theta"] - theta).flatten(1).norm(dim=1)
        ratio = change / (changed.latents[:, : model.config.concepts] - h).norm(dim=1).clamp_min(1e-12)
        better = ratio > best
        best = torch.where(better, ratio, best)
        pixelwise = torch.maximum(pixelwise, change / (z - images).flatten(1).norm(dim=1).clamp_min(1e-12))
        worst = torch.where(better[:, None, None, None], z, worst)
        moved = torch.where(better[:, None, None], changed.extras["theta"], moved)
    return Stability(best, pixelwise, worst, theta, moved, output.scores.argmax(dim=1))
