"""ProtoTree's prototypes: parts that are present as surely as the nearest patch resembles them."""

from __future__ import annotations

from torch import Tensor

from resemblance.methods.prototree.presence import distance, presence
from resemblance.prototypes.comparison import Comparison
from resemblance.prototypes.geometry import SquaredDistance
from resemblance.prototypes.precision import full_precision
from resemblance.prototypes.similarity import nearest_distances
from resemblance.prototypes.vectors import VectorPrototypes


class PresencePrototypes(VectorPrototypes):
    """The similarity is exp(−d) with the plain distance d, for which the nearest patch is measured exactly.

    Args:
        vectors: (P, D, h, w).
        owners: (P, C) bool.
    """

    def __init__(self, vectors: Tensor, owners: Tensor) -> None:
        super().__init__(vectors, owners, SquaredDistance(exact=True), presence)

    def forward(self, latents: Tensor) -> Comparison:
        """Presences (B, P), and the ``distances`` d."""
        with full_precision(latents):
            distances = distance(nearest_distances(self.compared(latents), self.vectors))
            return Comparison((-distances).exp(), {"distances": distances})
