"""TesNet: a transparent embedding space spanned by basis concepts (Wang et al., ICCV 2021).

As in ProtoPNet, an encoder and an add-on f compute a latent map z = f(x), and a linear last layer weights the
similarities to the prototypes. Here the prototypes of class c are K basis concepts, unit vectors that are the rows of
B_c and span a subspace for the class. The similarity to a concept b_j is the longest projection of a patch z~ onto
it, unbounded and without a logarithm:

    g_j(z) = max over patches z~ of z~ · b_j / ‖b_j‖
    score_c = Σ_j w_cj g_j(z)

Training makes the concepts of a class orthonormal, separates the subspaces of the classes, and turns patches towards a
concept of their own class. Prototypes are renormalised to unit length after each step; a projection stores the
training patch as it is, and only its direction counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from resemblance.config.model import ModelSpec
from resemblance.core.output import Output
from resemblance.encoders.build import Encoder
from resemblance.methods.tesnet.config import TesNetConfig
from resemblance.methods.tesnet.prototypes import Concepts
from resemblance.methods.weighted_parts.minima import mean_minimum
from resemblance.methods.weighted_parts.model import WeightedParts
from resemblance.prototypes.precision import full_precision

SMALLEST = 1e-12  # lower bound of squared distances


def orthonormality(products: Tensor, classes: Tensor, *, entrywise: bool = False) -> Tensor:
    """Compute how far the concepts of each class are from orthonormal, Σ_c ‖B_c B_cᵀ − I‖² (Frobenius norm).

    Args:
        products: (P, P), the inner products of all concepts.
        classes: (P,), the class of each concept; classes may have different numbers of concepts.
        entrywise: whether to sum absolute values instead of squares, as the authors' code does.

    Example:
        >>> basis = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
        >>> orthonormality(basis @ basis.T, torch.tensor([0, 0]))
        tensor(0.7200)
    """
    identity = torch.eye(len(products), dtype=products.dtype, device=products.device)
    deviations = (products - identity).masked_fill(classes[:, None] != classes, 0)
    return (deviations.abs() if entrywise else deviations.square()).sum()


def subspace_distances(products: Tensor, owners: Tensor) -> Tensor:
    """Compute the distances ‖B_aᵀ B_a − B_bᵀ B_b‖ (Frobenius norm) between the subspaces of all classes a and b.

    With G = B Bᵀ, the square is ‖G_a‖² + ‖G_b‖² − 2 ‖B_a B_bᵀ‖²: inner products of concepts are sufficient, and no
    tensor of C × C × D × D numbers is needed.

    Args:
        products: (P, P), the inner products of all concepts.
        owners: (P, C) bool; classes may have different numbers of concepts.

    Returns:
        (C, C); the diagonal is about 0.

    Example:
        >>> subspace_distances(torch.eye(2), torch.eye(2, dtype=torch.bool)).triu(1)
        tensor([[0.0000, 1.4142],
                [0.0000, 0.0000]])
    """
    members = owners.to(products.dtype)
    overlaps = members.T @ products.square() @ members  # ‖B_a B_bᵀ‖²; ‖G_a‖² on the diagonal
    squared = overlaps.diagonal()
    return (squared[:, None] + squared - 2 * overlaps).clamp_min(SMALLEST).sqrt()


def subspace_separation(distances: Tensor, owners: Tensor) -> Tensor:
    """Compute 1/√2 Σ_{a<b} d_ab of ``distances`` (C, C) between the subspaces, over the classes that have concepts."""
    present = owners.any(dim=0)
    pairs = (present[:, None] & present).triu(1)
    return torch.where(pairs, distances, 0).sum() / math.sqrt(2)


class TesNet(WeightedParts):
    """Basis concepts, similarities by projection, and a linear last layer without bias.

    Args:
        config: the configuration.
        spec: classes and images.
        encoder: computes the latent map; its own classifier is not needed.
        saved: a saved state, whose owners are used; by default each class owns ``prototypes_per_class``.

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
        if not self.released:  # in the authors' code the concepts of the first step are not normalised
            self.after_step()

    def make_prototypes(self, vectors: Tensor, owners: Tensor) -> Concepts:
        """Make concepts, which are compared by projection, and by cosines for the loss."""
        return Concepts(vectors, owners)

    # training

    def loss(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Compute cross entropy, cluster and separation from cosines, orthonormality, subspace separation, and L1.

        An image whose class has no concept left is left out of cluster and separation.
        """
        distances = -output.extras["cosines"]
        owners = self.prototypes.owners
        own = owners.T[labels]  # (B, P)
        config = self.config
        with full_precision(distances):
            vectors = self.prototypes.vectors
            # After a projection concepts are raw patches; their directions are to be orthonormal.
            basis = (vectors if self.released else self.prototypes.normalized(vectors)).flatten(1)
            products = basis @ basis.T
            deviation = orthonormality(products, owners.int().argmax(dim=1), entrywise=self.released)
            separation = subspace_separation(subspace_distances(products, owners), owners)
        return {
            "cross_entropy": self.cross_entropy(output.scores, labels),
            "cluster": config.cluster * mean_minimum(distances, own),
            "separation": -config.separation * mean_minimum(distances, ~own),
            "orthonormality": config.orthonormality * deviation,
            "subspaces": -config.subspaces * separation,
            "l1": config.l1 * self.other_class_l1(),
        }

    @torch.no_grad()
    def after_step(self) -> None:
        """Normalise the concepts in place; the authors do so even while only the last layer trains."""
        vectors = self.prototypes.vectors
        if vectors.requires_grad or self.released:
            vectors.copy_(self.prototypes.normalized(vectors))
