"""The loss terms of PIP-Net: agreement of views, presence of all parts, and sparse weights."""

from __future__ import annotations

from torch import Tensor

SHRINK = 1e-3  # subtracted from each weight in each step; a prototype counts if its weight is larger


def align(first: Tensor, second: Tensor) -> Tensor:
    """Compute L_A of two softmax maps (B, D, H, W).

    It is ½ [ℓ(z', sg z'') + ℓ(z'', sg z')], where sg stops gradients: ℓ(z', z'') with half its gradient.

    Example:
        >>> import torch
        >>> even = torch.full((1, 2, 1, 1), 0.5)
        >>> round(align(even, even).item(), 4)
        0.6931
    """
    agreement = -((first * second).sum(dim=1) + 1e-12).log().mean()
    return (agreement + agreement.detach()) / 2


def tanh(sums: Tensor) -> Tensor:
    """Compute L_T of the presences, summed over a batch, (D,).

    Example:
        >>> import torch
        >>> round(tanh(torch.tensor([2.0, 0.0])).item(), 3)
        9.229
    """
    return -(sums.tanh() + 1e-8).log().mean()


def logits(scores: Tensor) -> Tensor:
    """Compute log(1 + o²) of scores (..., C), the logits of the classification loss.

    Example:
        >>> import torch
        >>> logits(torch.tensor([2.0, 0.0])).softmax(0)
        tensor([0.8333, 0.1667])
    """
    return scores.square().log1p()


def shrunk(weights: Tensor) -> Tensor:
    """Compute max(ω − 0.001, 0). The authors' comment mentions small weights only; their code does it for all.

    Example:
        >>> import torch
        >>> shrunk(torch.tensor([0.0005, 0.5]))
        tensor([0.0000, 0.4990])
    """
    return (weights - SHRINK).relu()
