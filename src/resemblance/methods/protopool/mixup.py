"""Mixup: training on mixtures of two images and their labels (Zhang et al., ICLR 2018)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from resemblance.core.class_weights import weighted_cross_entropy


def mix_pairs(images: Tensor, alpha: float = 0.5) -> tuple[Tensor, dict[str, Tensor]]:
    """Mix each image with another of its batch, λx + (1 − λ)x′, with one λ ~ Beta(α, α) per batch.

    Random numbers come from torch's generator of the images' device. Each process mixes its own images.

    Args:
        images: (B, C, H, W).
        alpha: α.

    Returns:
        The mixtures, and a dictionary for `mixed_cross_entropy`: ``partners`` (B,) and ``share`` λ ().

    Example:
        >>> mixed, mixing = mix_pairs(torch.rand(4, 1, 8, 8))
        >>> mixed.shape, sorted(mixing["partners"].tolist())
        (torch.Size([4, 1, 8, 8]), [0, 1, 2, 3])
    """
    half = torch.tensor(alpha, device=images.device)
    share = torch.distributions.Beta(half, half).sample()
    partners = torch.randperm(len(images), device=images.device)
    mixed = images.lerp(images[partners], (1 - share).to(images.dtype))
    return mixed, {"partners": partners, "share": share}


def mixed_cross_entropy(
    scores: Tensor, labels: Tensor, mixing: Mapping[str, Tensor], weights: Tensor | None = None
) -> Tensor:
    """Compute λ · cross entropy with the labels + (1 − λ) · that with the partners' labels; plain if not mixed.

    Args:
        scores: (B, C).
        labels: (B,).
        mixing: what `mix_pairs` returned; empty if the images are not mixed.
        weights: (C,) of the classes, if they have any.

    Example:
        >>> from torch.nn import functional as F
        >>> scores, labels = torch.tensor([[0.0, 1.0], [0.0, 3.0]]), torch.tensor([1, 0])
        >>> mixing = {"partners": torch.tensor([1, 0]), "share": torch.tensor(0.25)}
        >>> plain = [F.cross_entropy(scores, targets).item() for targets in (labels, labels.flip(0))]
        >>> abs(mixed_cross_entropy(scores, labels, mixing).item() - 0.25 * plain[0] - 0.75 * plain[1]) < 1e-6
        True
    """
    entropy = weighted_cross_entropy(scores, labels, weights)
    if "partners" not in mixing:
        return entropy
    other = weighted_cross_entropy(scores, labels[mixing["partners"]], weights)
    return entropy.lerp(other, 1 - mixing["share"])
