"""ProtoPNet: this looks like that (Chen et al., NeurIPS 2019).

A convolutional encoder and an add-on f give a latent map z = f(x). Each prototype p_j is compared with
every patch of z; the similarity of the nearest patch, weighted by the last layer, is evidence for a class:

    g_j(z) = max over patches z~ of log((|z~ - p_j|² + 1) / (|z~ - p_j|² + ε))        (section 2.1)
    score_c = Σ_j w_cj g_j(z)

With ``pool="avg"`` the map is averaged first and a prototype stands for a whole image, as the ProtoPNet that
Gautam et al. 2024 (table 10) compare with. The last layer, the evidence and the schedule are in
`methods.weighted_parts.model`, for the methods that build on ProtoPNet.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from resemblance.config.model import ModelSpec
from resemblance.core.output import Match, Output
from resemblance.encoders.build import Encoder, check_part
from resemblance.methods.protopnet.config import ProtoPNetConfig
from resemblance.methods.weighted_parts.model import WeightedParts, mean_minimum
from resemblance.prototypes.precision import full_precision
from resemblance.prototypes.similarity import (
    linear_similarity,
    log_similarity,
    nearest_patches,
    pairwise_squared,
    squared_distances,
)

SIMILARITIES = {"log": log_similarity, "linear": linear_similarity}


def released_minimum(distances: Tensor, mask: Tensor, largest: int) -> Tensor:
    """The authors' way to the same: D_max − max((D_max − d)·mask); wrong beyond D_max, with no gradient."""
    return largest - ((largest - distances) * mask).amax(dim=1)


class ProtoPNet(WeightedParts):
    """Part prototypes (or whole images), a similarity, and a linear last layer without bias.

    Args:
        config: the configuration.
        spec: classes and images.
        encoder: gives the latent map; its own classifier is not needed.
        owners: (P, C) class of each prototype; by default ``prototypes_per_class`` for each class.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> model = build("protopnet", {"encoder": "small"}, spec).eval()
        >>> output = model(torch.rand(3, 1, 28, 28))
        >>> evidence = model.evidence(output, output.scores.argmax(1))
        >>> torch.allclose(evidence.contributions.sum(1), output.scores.amax(1), atol=1e-4)
        True
    """

    def __init__(
        self, config: ProtoPNetConfig, spec: ModelSpec, encoder: Encoder, owners: Tensor | None = None
    ) -> None:
        cells = (config.prototype_height, config.prototype_width) if config.pool == "max" else ()
        if cells:
            check_part(encoder, spec.image, cells)
        super().__init__(config, spec, encoder, owners, cells)
        self.config: ProtoPNetConfig = config
        self.similarity = SIMILARITIES[config.similarity]

    def head(self, latents: Tensor) -> Output:
        """Pooled similarities g (B, P) and scores W g (B, C)."""
        with full_precision(latents):
            latents = latents.float()
            distances = self._nearest(latents)[0]
            similarities = self.similarity(distances)
            return self.rescore(Output(similarities, similarities, latents, {"distances": distances}))

    def _nearest(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        if self.maps:
            return nearest_patches(latents, self.prototypes.vectors)
        distances = pairwise_squared(latents, self.prototypes.vectors)
        return distances, torch.zeros_like(distances, dtype=torch.int64)

    def match(self, latents: Tensor) -> Match:
        """Smallest squared distances and their cells."""
        with full_precision(latents):
            return Match(*self._nearest(latents.float()))

    def similarity_maps(self, latents: Tensor) -> Tensor:
        """Similarity of each patch to each prototype, (B, P, H', W')."""
        with full_precision(latents):
            return self.similarity(squared_distances(latents.float(), self.prototypes.vectors))

    def similarity_of(self, distances: Tensor) -> Tensor:
        """Logarithmic or linear."""
        return self.similarity(distances)

    def loss(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Cross entropy + λ₁ cluster − λ₂ separation + λ₃ L1 of the foreign weights (sections 2.2 and 2.3).

        Both minima are means over the batch of squared distances. An image whose class has no prototype left
        takes no part in them.
        """
        distances = output.extras["distances"]
        own = self.prototypes.owners.T[labels]  # (B, P)
        config = self.config
        return {
            "cross_entropy": F.cross_entropy(output.scores, labels),
            "cluster": config.cluster * self._mean_minimum(distances, own),
            "separation": -config.separation * self._mean_minimum(distances, ~own),
            "l1": config.l1 * self.foreign_weights(),
        }

    def _mean_minimum(self, distances: Tensor, mask: Tensor) -> Tensor:
        if self.config.variant == "released":
            largest = self.prototypes.vectors[0].numel()
            return released_minimum(distances, mask, largest).mean()
        return mean_minimum(distances, mask)
