"""ProtoPool's prototypes, compared by the focal similarity (Rymarczyk et al. 2022, eq. 1)."""

from __future__ import annotations

from torch import Tensor

from resemblance.methods.protopool.focal import Mean, nearest_and_mean
from resemblance.prototypes.comparison import Comparison
from resemblance.prototypes.precision import full_precision
from resemblance.prototypes.similarity import log_similarity
from resemblance.prototypes.vectors import VectorPrototypes


class FocalPrototypes(VectorPrototypes):
    """Patches that are compared by squared distance, and pooled by maximum minus mean.

    Args:
        vectors: (P, D, 1, 1).
        owners: (P, C) bool.
        focal: whether to subtract the mean; otherwise pooling is by the maximum alone.
        mean: what is averaged over the map. The authors' code uses the similarity at the mean distance in place of the
            mean similarity; it is never larger.
    """

    def __init__(
        self, vectors: Tensor, owners: Tensor, focal: bool = True, mean: Mean = "similarity"
    ) -> None:
        super().__init__(vectors, owners)
        self.focal, self.mean = focal, mean

    def forward(self, latents: Tensor) -> Comparison:
        """Compute focal similarities (B, P), with the smallest ``distances`` and the ``means`` over the map."""
        with full_precision(latents):
            nearest, means = nearest_and_mean(self.compared(latents), self.vectors, self.mean)
            return Comparison(self.focal_similarity(nearest, means), {"distances": nearest, "means": means})

    def focal_similarity(self, nearest: Tensor, means: Tensor) -> Tensor:
        """Compute g_p (eq. 1) from smallest squared distances and means over the map."""
        if not self.focal:
            return log_similarity(nearest)
        return log_similarity(nearest) - (log_similarity(means) if self.mean == "distance" else means)

    def maps(self, latents: Tensor, which: Tensor | None = None) -> Tensor:
        """Return g_p(z) minus its mean over the map, (B, K, H, W); the maximum is the focal similarity."""
        vectors = self.vectors if which is None else self.vectors[which]
        with full_precision(latents):
            squared = self.geometry.distances(self.compared(latents), vectors)
            averaged = squared if self.mean == "distance" else log_similarity(squared)
            return self.focal_similarity(squared, averaged.mean(dim=(2, 3), keepdim=True))
