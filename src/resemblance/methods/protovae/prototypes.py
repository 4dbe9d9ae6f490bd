"""ProtoVAE's prototypes as in the authors' code, which uses distances where the paper has their squares."""

from __future__ import annotations

from torch import Tensor

from resemblance.prototypes.comparison import Comparison
from resemblance.prototypes.precision import full_precision
from resemblance.prototypes.similarity import log_similarity, pairwise_distances
from resemblance.prototypes.vectors import VectorPrototypes


def root_log_similarity(squared: Tensor) -> Tensor:
    """Compute similarities from the roots of squared distances."""
    return log_similarity(squared.sqrt())


class DistancePrototypes(VectorPrototypes):
    """Points of the latent space; the similarity is log((d + 1) / (d + ε)) of the plain distance d.

    Args:
        vectors: (P, D).
        owners: (P, C) bool.
    """

    def __init__(self, vectors: Tensor, owners: Tensor) -> None:
        super().__init__(vectors, owners, activation=root_log_similarity)

    def forward(self, latents: Tensor) -> Comparison:
        """Compute similarities (B, P), from distances that have a gradient at 0."""
        with full_precision(latents):
            return Comparison(log_similarity(pairwise_distances(self.compared(latents), self.vectors)))
