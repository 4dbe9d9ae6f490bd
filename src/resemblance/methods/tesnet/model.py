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
from resemblance.methods.weighted_parts.bases import class_bases, inner_products, orthogonality
from resemblance.methods.weighted_parts.minima import mean_minimum
from resemblance.methods.weighted_parts.model import WeightedParts
from resemblance.prototypes.precision import full_precision

SMALLEST = 1e-12  # lower bound of squared distances


def subspace_distances(bases: Tensor) -> Tensor:
    """Compute the distances ‖B_aᵀ B_a − B_bᵀ B_b‖ (Frobenius norm) between the subspaces of all classes a and b.

    The square is ‖S_a‖² + ‖S_b‖² − 2 ⟨S_a, S_b⟩ with S = BᵀB: one product of the C × D² numbers of all S is
    sufficient, and no tensor of P × P or C × C × D × D numbers is needed.

    Args:
        bases: (C, K, D), the concepts of each class as rows; rows of zeros where a class has fewer than K.

    Returns:
        (C, C); the diagonal is about 0.

    Example:
        >>> subspace_distances(torch.eye(2)[:, None]).triu(1)
        tensor([[0.0000, 1.4142],
                [0.0000, 0.0000]])
    """
    depth = bases.shape[2]
    row, column = torch.triu_indices(depth, depth, device=bases.device)
    # S is symmetric: each pair of numbers beside the diagonal is counted once, with the length of both.
    lengths = torch.where(row == column, 1.0, math.sqrt(2)).to(bases.dtype)
    halves = (bases.mT @ bases).flatten(1).index_select(1, depth * row + column) * lengths
    overlaps = halves @ halves.T  # ‖B_a B_bᵀ‖²
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
            directions = vectors if self.released else self.prototypes.normalized(vectors)
            bases, present = class_bases(directions.flatten(1)[:, None], owners)
            # The authors' code sums absolute values instead of squares.
            deviation = orthogonality(inner_products(bases), present, 1.0, entrywise=self.released)
            separation = subspace_separation(subspace_distances(bases), owners)
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
