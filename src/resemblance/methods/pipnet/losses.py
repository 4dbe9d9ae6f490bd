"""What teaches a scoring sheet of parts: agreement of views, presence of all parts, and sparse weights (PIP-Net)."""

from __future__ import annotations

from torch import Tensor

SHRINK = 1e-3  # what each step takes from each weight, and the weight from which a prototype counts


def align(first: Tensor, second: Tensor) -> Tensor:
    """L_A of two softmax maps (B, D, H, W).

    ½ [ℓ(z', sg z'') + ℓ(z'', sg z')], with sg for no gradient: the value of ℓ(z', z'') and half of its gradient.

    Example:
        >>> import torch
        >>> even = torch.full((1, 2, 1, 1), 0.5)
        >>> round(align(even, even).item(), 4)
        0.6931
    """
    agreement = -((first * second).sum(dim=1) + 1e-12).log().mean()
    return (agreement + agreement.detach()) / 2


def tanh(sums: Tensor) -> Tensor:
    """L_T of the sums (D,) of a batch's presences.

    Example:
        >>> import torch
        >>> round(tanh(torch.tensor([2.0, 0.0])).item(), 3)
        9.229
    """
    return -(sums.tanh() + 1e-8).log().mean()


def logits(scores: Tensor) -> Tensor:
    """log(1 + o²), whose softmax the classification loss reads; scores (..., C).

    Example:
        >>> import torch
        >>> logits(torch.tensor([2.0, 0.0])).softmax(0)
        tensor([0.8333, 0.1667])
    """
    return scores.square().log1p()


def shrunk(weights: Tensor) -> Tensor:
    """max(ω − 0.001, 0). The authors' comment speaks of small weights only; their code takes it from all.

    Example:
        >>> import torch
        >>> shrunk(torch.tensor([0.0005, 0.5]))
        tensor([0.0000, 0.4990])
    """
    return (weights - SHRINK).relu()
