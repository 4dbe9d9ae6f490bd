"""ProtoPNet: this looks like that (Chen et al., NeurIPS 2019).

A convolutional encoder and an add-on f give a latent map z = f(x). Each prototype p_j is compared with
every patch z~ of z; the similarity of the nearest patch, weighted by the last layer, is evidence for a class:

    g_j(z) = max over patches z~ of log((|z~ - p_j|² + 1) / (|z~ - p_j|² + ε))        (section 2.1)
    score_c = Σ_j w_cj g_j(z)

With ``pool="avg"`` the map is averaged first and a prototype represents a whole image, as in the ProtoPNet that
Gautam et al. 2024 (table 10) compare with. The last layer, the evidence and the schedule are in
`methods.weighted_parts.model`, which the methods that build on ProtoPNet share.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from resemblance.config.model import ModelSpec
from resemblance.core.output import Output
from resemblance.encoders.build import Encoder, check_part
from resemblance.methods.protopnet.config import ProtoPNetConfig
from resemblance.methods.weighted_parts.minima import mean_minimum, released_minimum
from resemblance.methods.weighted_parts.model import WeightedParts
from resemblance.prototypes.similarity import (
    linear_similarity,
    log_similarity,
)
from resemblance.prototypes.vectors import VectorPrototypes

SIMILARITIES = {"log": log_similarity, "linear": linear_similarity}


class ProtoPNet(WeightedParts):
    """Prototypes of parts (or of whole images), a similarity, and a linear last layer without bias.

    Args:
        config: the configuration.
        spec: classes and images.
        encoder: computes the latent map; its own classifier is not needed.
        saved: a saved state, whose owners are used; by default each class owns ``prototypes_per_class``.

    Example:
        >>> import torch
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
        self,
        config: ProtoPNetConfig,
        spec: ModelSpec,
        encoder: Encoder,
        saved: Mapping[str, Tensor] | None = None,
    ) -> None:
        if config.pool == "max":
            check_part(encoder, spec.image, (config.prototype_height, config.prototype_width))
        super().__init__(config, spec, encoder, saved, config.part_size)
        self.config: ProtoPNetConfig = config

    def make_prototypes(self, vectors: Tensor, owners: Tensor) -> VectorPrototypes:
        """Make prototypes that are compared by squared distances, with the configured similarity."""
        return VectorPrototypes(vectors, owners, activation=SIMILARITIES[self.config.similarity])

    def loss(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Compute cross entropy + λ₁ cluster − λ₂ separation + λ₃ L1 (sections 2.2 and 2.3).

        Cluster is the mean over the batch of the smallest squared distance to a prototype of the image's class,
        separation that to a prototype of another class, and L1 the norm of the last-layer weights to other classes.
        An image whose class has no prototype left is left out of the means.
        """
        distances = output.extras["distances"]
        own = self.prototypes.owners.T[labels]  # (B, P)
        config = self.config
        return {
            "cross_entropy": self.cross_entropy(output.scores, labels),
            "cluster": config.cluster * self._mean_minimum(distances, own),
            "separation": -config.separation * self._mean_minimum(distances, ~own),
            "l1": config.l1 * self.other_class_l1(),
        }

    def _mean_minimum(self, distances: Tensor, mask: Tensor) -> Tensor:
        if self.config.variant == "released":
            largest = self.prototypes.vectors[0].numel()
            return released_minimum(distances, mask, largest).mean()
        return mean_minimum(distances, mask)
