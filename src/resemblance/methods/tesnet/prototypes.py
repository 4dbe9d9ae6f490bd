"""TesNet's basis concepts: directions that patches are projected onto."""

from __future__ import annotations

import torch
from torch import Tensor

from resemblance.prototypes.comparison import Comparison
from resemblance.prototypes.geometry import SMALLEST, InnerProduct
from resemblance.prototypes.precision import full_precision
from resemblance.prototypes.similarity import linear_similarity, prototypes_in_parts
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
            lengths = latents.flatten(2).norm(dim=1).clamp_min(SMALLEST)  # (B, cells)
            parts = prototypes_in_parts(latents, self.normalized(self.vectors))
            columns = zip(*(self._largest(part, latents, lengths) for part in parts), strict=True)
            longest, cosines = (torch.cat(column, dim=1) for column in columns)
            return Comparison(longest, {"cosines": cosines})

    def _largest(self, directions: Tensor, latents: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the longest projections and the largest cosines, (B, P) each; only they are kept for gradients."""
        projections = directions.flatten(1) @ latents.flatten(2)  # (B, P, cells)
        with torch.no_grad():
            # The patch of the largest cosine need not be that of the longest projection.
            cells = [values.argmax(dim=2) for values in (projections, projections / lengths[:, None])]
        longest, nearest = projections.gather(2, torch.stack(cells, dim=2)).unbind(dim=2)
        return longest, nearest / lengths.gather(1, cells[1])
