"""Similarities between the prototypes themselves, in exact arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from resemblance.prototypes.geometry import Geometry, SquaredDistance
from resemblance.prototypes.similarity import EPSILON, log_similarity

AT_ONCE = 1 << 22  # numbers in memory at once


@torch.no_grad()
def pairwise_similarities(
    vectors: Tensor, geometry: Geometry | None = None, activation: Callable[[Tensor], Tensor] = log_similarity
) -> Tensor:
    """Compute the similarity of each prototype, as if it were a patch, to all prototypes.

    Distances come from differences in float64: that of a vector to itself is 0. A matrix product in float32 leaves
    0.003 to 0.013, which changes a similarity of 9.2 to 5 and ruins the diversity measure.

    Args:
        vectors: (P, ...); windows are compared as a whole.
        geometry: the distance; by default squared Euclidean. Attributes of a linear layer: the rows of its weight, with
            ``InnerProduct()`` and ``torch.neg``.
        activation: turns distances into similarities.

    Returns:
        (P, P) float64, row k: prototype k. Not symmetric for a geometry that normalises one side only.

    Example:
        >>> pairwise_similarities(torch.tensor([[0.0, 0.0], [1.0, 0.0]])).numpy().round(4)
        array([[9.2103, 0.693 ],
               [0.693 , 9.2103]])
    """
    flat = vectors.detach().flatten(1)
    return activation(pairwise_measures(flat, flat, (geometry or SquaredDistance()).measure))


def pairwise_measures(
    patches: Tensor, vectors: Tensor, measure: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Measure the distances of all patches to all vectors, some vectors at a time.

    Args:
        patches: (N, ...).
        vectors: (P, ...).
        measure: of patches (1, N, ...) to vectors (n, 1, ...), (n, N).

    Returns:
        (N, P).

    Example:
        >>> pairwise_measures(torch.zeros(1, 2), torch.eye(2), SquaredDistance().measure)
        tensor([[1., 1.]], dtype=torch.float64)
    """
    size = max(AT_ONCE // max(patches.numel(), 1), 1)
    columns = [measure(patches[None], part[:, None]) for part in torch.split(vectors, size)]
    return torch.cat(columns).T


@torch.no_grad()
def released_similarities(vectors: Tensor, squared: bool = False, epsilon: float = EPSILON) -> Tensor:
    """Compute the similarities between prototypes as the KMEx repository does, rounding errors included.

    In float32, by ``torch.cdist``, which uses a matrix product beyond 25 vectors, so that distances of 0 become 0.003
    to 0.013; and with d, not d², in log((d + 1) / (d + ε)), except for ProtoPNet.

    Args:
        vectors: (P, ...).
        squared: use d², as the code does for ProtoPNet.
        epsilon: ε.

    Example:
        >>> released_similarities(torch.tensor([[0.0, 0.0], [3.0, 0.0]])).numpy().round(4)
        array([[9.2103, 0.2876],
               [0.2876, 9.2103]], dtype=float32)
    """
    flat = vectors.detach().flatten(1).float()
    distances = torch.cdist(flat, flat)
    distances = distances.square() if squared else distances
    return ((distances + 1) / (distances + epsilon)).log()


def repeated_logits(logits: Tensor, per_class: int) -> Tensor:
    """Return a black box's logits as similarities to ``per_class`` prototypes per class, as in the KMEx repository.

    Args:
        logits: (N, C).
        per_class: prototypes per class.

    Returns:
        (N, C · per_class), in the order of the classes.

    Example:
        >>> repeated_logits(torch.tensor([[1.0, 2.0]]), 2)
        tensor([[1., 1., 2., 2.]])
    """
    return logits.repeat_interleave(per_class, dim=1)
