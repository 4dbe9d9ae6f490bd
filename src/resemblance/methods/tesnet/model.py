"""TesNet: a transparent embedding space spanned by basis concepts (Wang et al., ICCV 2021).

As in ProtoPNet, an encoder and an add-on f give a latent map z = f(x), and a linear last layer weighs how strongly
each prototype is present. Here the prototypes of class c are K basis concepts, unit vectors that are the rows of
B_c and span a subspace for the class. A concept is as present as the longest projection of a patch onto it,
unbounded and without a logarithm:

    g_j(z) = max over patches z~ of z~ · b_j / ‖b_j‖
    score_c = Σ_j w_cj g_j(z)

Training wants the concepts of a class orthonormal, the subspaces of the classes apart, and patches to lie in the
direction of a concept of their own class. Prototypes keep unit length by being renormalised after each step; a
projection stores the training patch as it is, and its direction is what counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from resemblance.config.model import ModelSpec
from resemblance.core.output import Output
from resemblance.encoders.build import Encoder
from resemblance.methods.tesnet.config import TesNetConfig
from resemblance.methods.tesnet.prototypes import Concepts
from resemblance.methods.weighted_parts.minima import mean_minimum
from resemblance.methods.weighted_parts.model import WeightedParts
from resemblance.prototypes.precision import full_precision

SMALLEST = 1e-12  # lengths and squared distances are taken for at least this


def orthonormality(products: Tensor, classes: Tensor, *, entrywise: bool = False) -> Tensor:
    """How far the concepts of each class are from orthonormal, Σ_c ‖B_c B_cᵀ − I‖² (Frobenius).

    Args:
        products: (P, P), the inner products of all concepts.
        classes: (P,), the class of each concept; classes may have different numbers of them.
        entrywise: sum absolute values instead of squares, as the authors' code does.

    Example:
        >>> basis = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
        >>> orthonormality(basis @ basis.T, torch.tensor([0, 0]))
        tensor(0.7200)
    """
    identity = torch.eye(len(products), dtype=products.dtype, device=products.device)
    departures = (products - identity).masked_fill(classes[:, None] != classes, 0)
    return (departures.abs() if entrywise else departures.square()).sum()


def subspace_distances(products: Tensor, owners: Tensor) -> Tensor:
    """The distances ‖B_aᵀ B_a − B_bᵀ B_b‖ (Frobenius) between the subspaces of all classes a and b.

    With G = B Bᵀ, the square is ‖G_a‖² + ‖G_b‖² − 2 ‖B_a B_bᵀ‖²: inner products of concepts are enough, and no
    tensor of C × C × D × D numbers is built.

    Args:
        products: (P, P), the inner products of all concepts.
        owners: (P, C) bool; classes may have different numbers of concepts.

    Returns:
        (C, C), about 0 on the diagonal.

    Example:
        >>> subspace_distances(torch.eye(2), torch.eye(2, dtype=torch.bool)).triu(1)
        tensor([[0.0000, 1.4142],
                [0.0000, 0.0000]])
    """
    members = owners.to(products.dtype)
    overlaps = members.T @ products.square() @ members  # ‖B_a B_bᵀ‖²; ‖G_a‖² on the diagonal
    own = overlaps.diagonal()
    return (own[:, None] + own - 2 * overlaps).clamp_min(SMALLEST).sqrt()


def subspace_separation(distances: Tensor, owners: Tensor) -> Tensor:
    """The subspaces' distance 1/√2 Σ_{a<b} d_ab over the classes that have concepts; ``distances`` (C, C)."""
    present = owners.any(dim=0)
    pairs = (present[:, None] & present).triu(1)
    return torch.where(pairs, distances, 0).sum() / math.sqrt(2)


class TesNet(WeightedParts):
    """Basis concepts, projection lengths, and a linear last layer without bias.

    Args:
        config: the configuration.
        spec: classes and images.
        encoder: gives the latent map; its own classifier is not needed.
        saved: a saved state, whose owners are taken over; by default ``prototypes_per_class`` for each class.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> model = build("tesnet", {"encoder": "small"}, spec).eval()
        >>> output = model(torch.rand(3, 1, 28, 28))
        >>> evidence = model.evidence(output, output.scores.argmax(1))
        >>> torch.allclose(evidence.contributions.sum(1), output.scores.amax(1), atol=1e-4)
        True
    """

    def __init__(
        self,
        config: TesNetConfig,
        spec: ModelSpec,
        encoder: Encoder,
        saved: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(config, spec, encoder, saved)
        self.config: TesNetConfig = config
        self.released = config.variant == "released"
        if not self.released:  # the authors' first step sees concepts of any length
            self.after_step()

    def make_prototypes(self, vectors: Tensor, owners: Tensor) -> Concepts:
        """Projection lengths, with the cosines for the loss."""
        return Concepts(vectors, owners)

    # training

    def loss(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Cross entropy, cluster and separation by cosines, orthonormality, the subspaces' distance, and L1.

        An image whose class has no concept left takes no part in cluster and separation.
        """
        distances = -output.extras["cosines"]
        owners = self.prototypes.owners
        own = owners.T[labels]  # (B, P)
        config = self.config
        with full_precision(distances):
            vectors = self.prototypes.vectors
            # After a projection concepts are raw patches; what is to be orthonormal are their directions.
            basis = (vectors if self.released else self.prototypes.normalized(vectors)).flatten(1)
            products = basis @ basis.T
            bases = orthonormality(products, owners.int().argmax(dim=1), entrywise=self.released)
            apart = subspace_separation(subspace_distances(products, owners), owners)
        return {
            "cross_entropy": F.cross_entropy(output.scores, labels),
            "cluster": config.cluster * mean_minimum(distances, own),
            "separation": -config.separation * mean_minimum(distances, ~own),
            "orthonormality": config.orthonormality * bases,
            "subspaces": -config.subspaces * apart,
            "l1": config.l1 * self.foreign_weights(),
        }

    @torch.no_grad()
    def after_step(self) -> None:
        """Renormalise the concepts in place; the authors do so even while only the last layer trains."""
        vectors = self.prototypes.vectors
        if vectors.requires_grad or self.released:
            vectors.copy_(self.prototypes.normalized(vectors))
