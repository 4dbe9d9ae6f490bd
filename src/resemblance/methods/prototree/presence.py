"""The probability that a part is present, by the distance of its nearest patch: exp(−d), as in ProtoTree."""

from __future__ import annotations

import math

import torch
from torch import Tensor

GUARD = 1e-7  # keeps log(1 − exp(−d)) finite at d = 0


def presence(squared: Tensor) -> Tensor:
    """Compute exp(−d), the probability that the part is present, from squared distances.

    Example:
        >>> presence(torch.tensor([0.0, 1.0, 4.0]))
        tensor([1.0000, 0.3679, 0.1353])
    """
    return (-distance(squared)).exp()


def distance(squared: Tensor) -> Tensor:
    """Compute the Euclidean distance, with a gradient at 0."""
    return (squared + 1e-14).sqrt()


def log_absence(distances: Tensor) -> Tensor:
    """Compute log(1 − exp(−d)), the logarithm of the probability that the part is absent.

    It is computed by expm1 near 0 and log1p elsewhere, so that it is precise everywhere, and finite at 0.

    Example:
        >>> log_absence(torch.tensor([1.0, 20.0])).exp()
        tensor([0.6321, 1.0000])
    """
    guarded = distances + GUARD
    near = guarded.clamp_max(math.log(2)).neg().expm1().neg().log()
    far = torch.log1p(-(-guarded.clamp_min(math.log(2))).exp())
    return torch.where(guarded < math.log(2), near, far)
