"""Mixup: training on mixtures of two images and their labels (Zhang et al., ICLR 2018)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F


def mix_pairs(images: Tensor, alpha: float = 0.5) -> tuple[Tensor, dict[str, Tensor]]:
    """Mixtures λx + (1 − λ)x′ of each image with another of its batch, λ ~ Beta(α, α), one for the batch.

    PaperFigure from torch's generator of the images' device. Each process mixes its own images.

    Args:
        images: (B, C, H, W).
        alpha: α.

    Returns:
        The mixtures, and ``partners`` (B,) and ``share`` λ (), which `mixed_cross_entropy` reads.

    Example:
        >>> mixed, how = mix_pairs(torch.rand(4, 1, 8, 8))
        >>> mixed.shape, sorted(how["partners"].tolist())
        (torch.Size([4, 1, 8, 8]), [0, 1, 2, 3])
    """
    half = torch.tensor(alpha, device=images.device)
    share = torch.distributions.Beta(half, half).sample()
    partners = torch.randperm(len(images), device=images.device)
    mixed = images.lerp(images[partners], (1 - share).to(images.dtype))
    return mixed, {"partners": partners, "share": share}


def mixed_cross_entropy(scores: Tensor, labels: Tensor, how: Mapping[str, Tensor]) -> Tensor:
    """λ times the cross entropy to the labels, (1 − λ) times that to the partners'; the plain one if not mixed.

    Example:
        >>> scores, labels = torch.tensor([[0.0, 1.0], [0.0, 3.0]]), torch.tensor([1, 0])
        >>> how = {"partners": torch.tensor([1, 0]), "share": torch.tensor(0.25)}
        >>> plain = [F.cross_entropy(scores, given).item() for given in (labels, labels.flip(0))]
        >>> abs(mixed_cross_entropy(scores, labels, how).item() - 0.25 * plain[0] - 0.75 * plain[1]) < 1e-6
        True
    """
    entropy = F.cross_entropy(scores, labels)
    if "partners" not in how:
        return entropy
    return entropy.lerp(F.cross_entropy(scores, labels[how["partners"]]), 1 - how["share"])
