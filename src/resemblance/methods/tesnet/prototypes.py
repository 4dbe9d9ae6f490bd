"""TesNet's basis concepts: directions that patches are projected onto."""

from __future__ import annotations

from torch import Tensor

from resemblance.prototypes.comparison import Comparison
from resemblance.prototypes.geometry import SMALLEST, InnerProduct
from resemblance.prototypes.precision import full_precision
from resemblance.prototypes.similarity import linear_similarity
from resemblance.prototypes.vectors import VectorPrototypes


class Concepts(VectorPrototypes):
    """Concepts whose similarity is the longest projection of a patch onto them; the largest cosine is computed too.

    Args:
        vectors: (P, D, 1, 1); only their directions are used.
        owners: (P, C) bool.
    """

    def __init__(self, vectors: Tensor, owners: Tensor) -> None:
        super().__init__(vectors, owners, InnerProduct(unit_vectors=True), activation=linear_similarity)

    def forward(self, latents: Tensor) -> Comparison:
        """Compute the longest projections (B, P), and the largest ``cosines`` (B, P), which the loss uses."""
        with full_precision(latents):
            latents = self.compared(latents)
            projections = self.normalized(self.vectors).flatten(1) @ latents.flatten(2)  # (B, P, cells)
            lengths = latents.flatten(2).norm(dim=1).clamp_min(SMALLEST)  # (B, cells)
            # The patch of the largest cosine need not be that of the longest projection.
            cells = (projections.detach() / lengths.detach()[:, None]).argmax(dim=2)
            cosines = projections.gather(2, cells[:, :, None]).squeeze(2) / lengths.gather(1, cells)
            return Comparison(projections.amax(dim=2), {"cosines": cosines})
