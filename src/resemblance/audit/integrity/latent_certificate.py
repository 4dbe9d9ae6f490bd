"""Latent certificates: how far latents may move before the answer can change, as pure functions.

If every cell of a map moves by at most r, each distance between a prototype and its nearest cell changes by at most r.
So scores have bounds, and with them the answer. Nothing follows for pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BISECTIONS = 50
DOUBLINGS = 40  # of the radius, until some margin is lost; beyond that it counts as infinite
NUMBERS = 1 << 22  # numbers in memory at once


def nearest_margin(right: Tensor, wrong: Tensor) -> Tensor:
    """Return the radius within which the nearest prototype stays nearer than another one: (d_wrong − d_right) / 2.

    It holds by the triangle inequality, also where both distances are those of the nearest cell of a map.

    Args:
        right: the Euclidean distance of the nearest prototype, any shape.
        wrong: that of another prototype.

    Example:
        >>> round(nearest_margin(torch.tensor(0.5), torch.tensor(2.65).sqrt()).item(), 4)
        0.5639
    """
    return (wrong - right) / 2


def pair_radius(right: Tensor, wrong: Tensor, between: Tensor) -> Tensor:
    """Return the exact distance to the plane between two prototypes: (d_wrong² − d_right²) / (2 ‖p_wrong − p_right‖).

    Args:
        right: the Euclidean distance of the nearest prototype, any shape.
        wrong: that of another prototype.
        between: the distance of the two prototypes; where it is 0, so is the radius.

    Example:
        >>> round(pair_radius(torch.tensor(0.5), torch.tensor(2.65).sqrt(), torch.tensor(2.0)).item(), 4)
        0.6
    """
    radius = (wrong.square() - right.square()) / (2 * between)
    return torch.where(between > 0, radius, torch.zeros_like(radius))


def nearest_radius(
    distances: Tensor, owners: Tensor, predicted: Tensor, between: Tensor | None = None
) -> Tensor:
    """Return the radius within which a nearest prototype of the predicted class stays the nearest of all.

    Args:
        distances: (B, P), Euclidean.
        owners: (P, C) bool, one class per prototype.
        predicted: (B,).
        between: (P, P), the distances of the prototypes; None for prototypes of places, each of which may have another
            nearest cell: then the radius is half the difference of the distances.

    Returns:
        (B,), at least 0; infinite if all prototypes belong to the predicted class.

    Example:
        >>> owners, between = torch.eye(2).bool(), torch.tensor([[0.0, 2.0], [2.0, 0.0]])
        >>> nearest_radius(torch.tensor([[0.5, 1.6279]]), owners, torch.tensor([0]), between)
        tensor([0.6000])
    """
    own = owners.T[predicted]  # (B, P)
    right, nearest = distances.masked_fill(~own, torch.inf).min(dim=1, keepdim=True)
    if between is None:
        radii = nearest_margin(right, distances)
    else:
        radii = pair_radius(right, distances, between[nearest.squeeze(1)])
    radii = radii.masked_fill(own, torch.inf).amin(dim=1).clamp_min(0)
    return radii.masked_fill(~own.any(dim=1), 0)


def linear_radius(
    distances: Tensor,
    weights: Tensor,
    bias: Tensor,
    predicted: Tensor,
    similarity: Callable[[Tensor], Tensor],
    *,
    smallest: float = 0.0,
    largest: float = torch.inf,
) -> Tensor:
    """Return the largest radius at which no class can overtake the predicted one, for scores W h(d) + b.

    Prototypes whose weight is larger for the predicted class y than for class c are taken to be r farther, the others r
    nearer:

        margin_c(r) = Σ_k [(W_yk − W_ck)⁺ h(d_k + r) − (W_yk − W_ck)⁻ h(d_k − r)] + b_y − b_c

    It falls with r, so that bisection finds the largest r with positive margins.

    Args:
        distances: (B, P): Euclidean distances, angles, or negative projections onto unit vectors.
        weights: W (C, P), of any sign.
        bias: b (C,).
        predicted: (B,).
        similarity: h, which must not increase with the distance.
        smallest: the smallest possible distance.
        largest: the largest possible distance.

    Returns:
        (B,); 0 where a margin is not positive to begin with, infinite where none is ever lost.

    Example:
        >>> distances, eye = torch.tensor([[0.3, 0.9]], dtype=torch.float64), torch.eye(2, dtype=torch.float64)
        >>> radius = linear_radius(distances, eye, torch.zeros(2), torch.tensor([0]), torch.neg)
        >>> round(radius.item(), 6)
        0.3
    """
    size = max(NUMBERS // max(weights.numel(), 1), 1)
    parts = [
        _radius(chunk, weights, bias, classes, similarity, (smallest, largest))
        for chunk, classes in zip(torch.split(distances, size), torch.split(predicted, size), strict=True)
    ]
    return torch.cat(parts)


def _radius(
    distances: Tensor,
    weights: Tensor,
    bias: Tensor,
    predicted: Tensor,
    similarity: Callable[[Tensor], Tensor],
    limits: tuple[float, float],
) -> Tensor:
    differences = weights[predicted][:, None] - weights  # (B, C, P)
    gains, losses = differences.clamp_min(0), (-differences).clamp_min(0)
    ahead = bias[predicted][:, None] - bias  # (B, C)
    itself = torch.nn.functional.one_hot(predicted, len(weights)).bool()

    def certified(radii: Tensor) -> Tensor:
        far = similarity((distances + radii[:, None]).clamp_max(limits[1]))
        near = similarity((distances - radii[:, None]).clamp_min(limits[0]))
        margins = ahead + (gains @ far[:, :, None] - losses @ near[:, :, None]).squeeze(2)
        return (margins > 0).masked_fill(itself, True).all(dim=1)

    low = torch.zeros_like(distances[:, 0])
    high = distances.abs().amax(dim=1).clamp_min(torch.finfo(distances.dtype).tiny)
    holds, endless = certified(low), certified(high)
    for _ in range(DOUBLINGS):
        if not bool(endless.any()):
            break
        low, high = torch.where(endless, high, low), torch.where(endless, 2 * high, high)
        endless = certified(high)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        inside = certified(middle)
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
    low = low.masked_fill(endless, torch.inf)
    return torch.where(holds, low, torch.zeros_like(low))
