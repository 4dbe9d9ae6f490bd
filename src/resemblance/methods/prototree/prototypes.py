"""ProtoTree's prototypes: parts whose probability to be present depends on the nearest patch."""

from __future__ import annotations

from torch import Tensor

from resemblance.methods.prototree.presence import distance, presence
from resemblance.prototypes.comparison import Comparison
from resemblance.prototypes.geometry import SquaredDistance
from resemblance.prototypes.precision import full_precision
from resemblance.prototypes.vectors import VectorPrototypes


class PresencePrototypes(VectorPrototypes):
    """Parts with the similarity exp(−d) of the distance d to the nearest patch, which is measured exactly.

    Args:
        vectors: (P, D, h, w).
        owners: (P, C) bool.
    """

    def __init__(self, vectors: Tensor, owners: Tensor) -> None:
        super().__init__(vectors, owners, SquaredDistance(exact=True), presence)

    def forward(self, latents: Tensor) -> Comparison:
        """Compute presences (B, P), and the ``distances`` d."""
        with full_precision(latents):
            distances = distance(self.nearest(self.compared(latents))[0])
            return Comparison((-distances).exp(), {"distances": distances})
