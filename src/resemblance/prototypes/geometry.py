"""Geometries: distances between patches and prototype vectors. Smaller is nearer.

A geometry has no state: vectors are passed to it. Its fast distances are rounded, those that come from matrix products
relative to the lengths of the vectors; `measure` is exact.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from resemblance.prototypes.precision import widest
from resemblance.prototypes.shares import distance_shares, product_shares
from resemblance.prototypes.similarity import (
    nearest_patches,
    pairwise_squared,
    prototypes_in_parts,
    squared_distances,
)

SMALLEST = 1e-12  # lengths are clamped to this


class Geometry(ABC):
    """A distance between windows of latent maps, or whole embeddings, and prototype vectors."""

    @abstractmethod
    def distances(self, latents: Tensor, vectors: Tensor) -> Tensor:
        """Return the distances of all windows: (B, D, H, W) and (P, D, h, w) → (B, P, H', W')."""

    @abstractmethod
    def whole(self, latents: Tensor, vectors: Tensor) -> Tensor:
        """Return the distances of whole embeddings: (B, E) and (P, E) → (B, P)."""

    def nearest(self, latents: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return the smallest distance of each image to each prototype and its cell, (B, P) each; lowest cell first."""
        parts = prototypes_in_parts(latents, vectors)
        nearest = [self.distances(latents, part).flatten(2).min(dim=2) for part in parts]
        values, cells = (torch.cat(column, dim=1) for column in zip(*nearest, strict=True))
        return values, cells

    @abstractmethod
    def measure(self, patches: Tensor, vectors: Tensor) -> Tensor:
        """Return the exact distances (...) of flat patches (..., L) to flat vectors (..., L), in float64."""

    @abstractmethod
    def shares(self, patches: Tensor, vectors: Tensor, released: bool = False) -> Tensor:
        """Return the share of each channel in the similarity of flat patches (n, L) to vectors (n, L): (n, L).

        Args:
            patches: (n, L).
            vectors: (n, L).
            released: compute them by the formula of the authors' code, also where it fails.
        """

    def normalized(self, vectors: Tensor) -> Tensor:
        """Return vectors (P, *shape) as they are compared; of unit length where only the direction counts."""
        return vectors

    @abstractmethod
    def error_scale(self, longest: Tensor, vectors: Tensor) -> Tensor:
        """Return the scale (P,) of the numbers that the fast distances add up; rounding errors are relative to it.

        Args:
            longest: the length of the longest patch.
            vectors: (P, L), flat.
        """


class SquaredDistance(Geometry):
    """Squared Euclidean distance; of whole embeddings and of the nearest windows of maps by differences.

    Args:
        exact: compute all windows' distances by differences, instead of a matrix product, where a square root of the
            distance needs all digits; slower.

    Example:
        >>> z, p = torch.tensor([0.5, 0.5]).reshape(1, 2, 1, 1), torch.tensor([0.5, 0.0]).reshape(1, 2, 1, 1)
        >>> SquaredDistance().nearest(z, p)
        (tensor([[0.2500]]), tensor([[0]]))
    """

    def __init__(self, exact: bool = False) -> None:
        self.exact = exact

    def distances(self, latents: Tensor, vectors: Tensor) -> Tensor:
        """Return ‖z − p‖² of all windows, (B, P, H', W')."""
        return squared_distances(latents, vectors, exact=self.exact)

    def whole(self, latents: Tensor, vectors: Tensor) -> Tensor:
        """Return ‖z − p‖², (B, P)."""
        return pairwise_squared(latents, vectors)

    def nearest(self, latents: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return the smallest ‖z − p‖² and its cell."""
        return nearest_patches(latents, vectors)

    def measure(self, patches: Tensor, vectors: Tensor) -> Tensor:
        """Return ‖z − p‖² by differences: a patch has distance 0 to itself, and equal patches have equal distances."""
        wide = widest(patches.device)
        squares = (patches.to(wide) - vectors.to(wide)).square()
        return squares.contiguous().sum(dim=-1)

    def shares(self, patches: Tensor, vectors: Tensor, released: bool = False) -> Tensor:
        """Return the shares of the channels: those in which patch and vector agree have most (PRP)."""
        return distance_shares(patches, vectors, released)

    def error_scale(self, longest: Tensor, vectors: Tensor) -> Tensor:
        """Return the scale of ‖z‖² − 2zp + ‖p‖²."""
        lengths: Tensor = torch.linalg.vector_norm(vectors, dim=1)
        return (longest + lengths).square()


class InnerProduct(Geometry):
    """The negative inner product of patches and vectors.

    Args:
        unit_vectors: normalise the vectors: the product is the length of the patch's projection onto the vector.
        unit_patches: normalise the patches, too: the product is the cosine.

    Example:
        >>> z, p = torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1), torch.tensor([0.0, 2.0]).reshape(1, 2, 1, 1)
        >>> geometries = InnerProduct(), InnerProduct(unit_vectors=True), InnerProduct(True, unit_patches=True)
        >>> [round(geometry.distances(z, p).item(), 4) for geometry in geometries]
        [-8.0, -4.0, -0.8]
    """

    def __init__(self, unit_vectors: bool = False, unit_patches: bool = False) -> None:
        self.unit_vectors, self.unit_patches = unit_vectors, unit_patches

    def distances(self, latents: Tensor, vectors: Tensor) -> Tensor:
        """Return −⟨z, p⟩ of all cells, (B, P, H, W)."""
        if self.unit_patches:
            latents = F.normalize(latents, dim=1, eps=SMALLEST)
        products = self.normalized(vectors).flatten(1) @ latents.flatten(2)
        return -products.reshape(latents.shape[0], -1, *latents.shape[2:])

    def whole(self, latents: Tensor, vectors: Tensor) -> Tensor:
        """Return −⟨z, p⟩, (B, P)."""
        latents = F.normalize(latents, dim=1, eps=SMALLEST) if self.unit_patches else latents
        return -latents @ self.normalized(vectors).T

    def measure(self, patches: Tensor, vectors: Tensor) -> Tensor:
        """Return −⟨z, p⟩ in float64."""
        wide = widest(patches.device)
        patches, vectors = patches.to(wide), vectors.to(wide)
        products: Tensor = (patches * vectors).contiguous().sum(dim=-1)
        if self.unit_vectors:
            products = products / torch.linalg.vector_norm(vectors, dim=-1).clamp_min(SMALLEST)
        if self.unit_patches:
            products = products / torch.linalg.vector_norm(patches, dim=-1).clamp_min(SMALLEST)
        return -products

    def shares(self, patches: Tensor, vectors: Tensor, released: bool = False) -> Tensor:
        """Return the shares of the channels in the product: z_j p_j, as in a linear layer; a length is constant."""
        return product_shares(patches, self.normalized(vectors))

    def normalized(self, vectors: Tensor) -> Tensor:
        """Return vectors of unit length, where only their direction counts."""
        return F.normalize(vectors, dim=1) if self.unit_vectors else vectors

    def error_scale(self, longest: Tensor, vectors: Tensor) -> Tensor:
        """Return a bound of the products: the product of both lengths."""
        lengths = torch.ones_like(vectors[:, 0]) if self.unit_vectors else vectors.norm(dim=1)
        return lengths if self.unit_patches else lengths * longest
