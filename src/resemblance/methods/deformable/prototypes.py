"""Deformable prototypes: squares of parts, each of which is compared with the map where its offset points to."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from resemblance.methods.deformable.deform import (
    corners,
    largest_products,
    part_positions,
    sample,
    window_grid,
)
from resemblance.prototypes.comparison import Comparison, Match, Places
from resemblance.prototypes.pairwise import pairwise_measures
from resemblance.prototypes.precision import full_precision, widened, widest
from resemblance.prototypes.shares import product_shares
from resemblance.prototypes.similarity import linear_similarity
from resemblance.prototypes.vectors import VectorPrototypes

EPSILON = 1e-4  # value of the uniform channels, which prevent zero vectors
PROJECTED_LENGTH = 64.0  # of a projected prototype, all parts together
COSINE_DIVISOR = 1.01  # of the authors' code, which keeps cosines below 1, where the arc cosine is steep


def rectified(distances: Tensor) -> Tensor:
    """Compute max(g, 0) from distances −g, as in the authors' code."""
    return (-distances).relu()


class DeformablePrototypes(VectorPrototypes):
    """Prototypes p̂ of ρ parts, compared by g = Σ p̂_mn · ẑ at the positions that the offsets point to.

    The channels of the latents are those of ẑ (B, E, H, W), then the offsets (B, 2ρ, H, W), which belong to the image
    and are the same for all prototypes.

    Args:
        vectors: (P, D, k, k), with ρ = k² parts; uniform channels are appended.
        owners: (P, C) bool.
        released: whether lengths and cosines are computed as in the authors' code.

    Attributes:
        depth: D, the number of channels that are learned.
        channels: E, the number of channels including the uniform ones.
        parts: k, the number of parts per side.
    """

    def __init__(self, vectors: Tensor, owners: Tensor, released: bool = False) -> None:
        self.depth, self.parts = vectors.shape[1], vectors.shape[2]
        # Vectors have the uniform channels of the latents too, so that patches fit; their values are not read.
        uniform = 2 if released else 1
        self.channels = self.depth + uniform
        vectors = F.pad(vectors, (0, 0, 0, 0, 0, uniform), value=EPSILON)
        super().__init__(vectors, owners, activation=rectified if released else linear_similarity)
        self.released = released

    def unit_vectors(self, vectors: Tensor) -> Tensor:
        """Return ẑ or p̂: append uniform channels of ε and scale to length r = 1/√ρ; (B, D, h, w) → (B, E, h, w)."""
        vectors = F.pad(vectors, (0, 0, 0, 0, 0, self.channels - self.depth), value=EPSILON)
        return vectors / (self._lengths(vectors, dim=1) * self.parts)

    def _lengths(self, vectors: Tensor, dim: int) -> Tensor:
        lengths: Tensor = torch.linalg.vector_norm(vectors, dim=dim, keepdim=True)
        # The authors add ε to the sum of squares, so that equal vectors have a similarity slightly below 1.
        return (lengths.square() + EPSILON).sqrt() if self.released else lengths

    def unit_parts(self, vectors: Tensor) -> Tensor:
        """Return the parts p̂ of prototypes (P, D, k, k), of length r, as `_windows` orders them: (P, ρ, E)."""
        parts = vectors[:, : self.depth].flatten(2).transpose(1, 2)
        parts = F.pad(parts, (0, self.channels - self.depth), value=EPSILON)
        lengths = self._lengths(parts, dim=2)
        if self.released:
            # The authors divide prototypes, unlike latents, by the length plus another ε, and cosines by 1.01.
            lengths = (lengths + EPSILON) * COSINE_DIVISOR
        return parts * (1 / (lengths * self.parts))

    def normalized(self, vectors: Tensor) -> Tensor:
        """Return the parts p̂, of length r, (P, E, k, k)."""
        return self.unit_parts(vectors).transpose(1, 2).reshape(-1, self.channels, self.parts, self.parts)

    def grid(self, latents: Tensor) -> tuple[int, int]:
        """Return the rows and columns of windows."""
        return window_grid((latents.shape[2], latents.shape[3]), self.parts)

    def forward(self, latents: Tensor) -> Comparison:
        """Return the largest g of all windows, (B, P)."""
        with full_precision(latents):
            return Comparison(self.activation(-self._largest_products(widened(latents))[0]))

    @torch.no_grad()
    def match(self, latents: Tensor) -> Match:
        """Return −g of the window with the largest g, as distances, and these windows."""
        with full_precision(latents):
            values, cells = self._largest_products(widened(latents))
            return Match(-values, cells)

    def maps(self, latents: Tensor, which: Tensor | None = None) -> Tensor:
        """Return g_ab of each window (a, b), (B, K, h, w)."""
        vectors = self.vectors if which is None else self.vectors[which]
        with full_precision(latents):
            products = self._windows(widened(latents)) @ self.unit_parts(vectors).flatten(1).T
            maps = products.transpose(1, 2).reshape(latents.shape[0], len(vectors), *self.grid(latents))
            return self.activation(-maps)

    @torch.no_grad()
    def at(self, latents: Tensor, rows: Tensor, which: Tensor) -> Places:
        """Return the windows of the largest g, and the cells that their parts read."""
        places = super().at(latents, rows, which)
        boxes = self.part_boxes(latents, rows, places.cells)
        return replace(places, boxes=boxes, present=torch.ones_like(boxes[..., 0], dtype=torch.bool))

    def part_boxes(self, latents: Tensor, rows: Tensor, cells: Tensor) -> Tensor:
        """Return the boxes that the parts of the windows ``cells`` (n,) of the images ``rows`` (n,) read.

        Returns:
            (n, ρ, 4): x0, y0, x1, y1 as shares of the image; a part outside the image has a box outside it.
        """
        offsets = self._split(widened(latents))[1][rows]
        corner = part_positions(offsets, self.parts)[
            torch.arange(len(rows), device=rows.device), cells
        ]  # row, column
        size = corner.new_tensor([latents.shape[2], latents.shape[3]])
        return torch.cat([(corner / size).flip(-1), ((corner + 1) / size).flip(-1)], dim=-1)

    @torch.no_grad()
    def shares(self, latents: Tensor, which: Tensor, released: bool = False) -> Tensor:
        """Return the shares at the four cells that each part reads: those of the squares that are interpolated."""
        z, offsets = self._split(widened(latents))
        rows = torch.arange(len(which), device=which.device)
        window = super().at(latents, rows, which).cells
        cells, weights = (
            values[rows, window] for values in corners(offsets, (z.shape[2], z.shape[3]), self.parts)
        )
        places = cells.flatten(1)[:, None].expand(-1, self.channels, -1)  # (B, E, ρ·4)
        squares = z.square().flatten(2).gather(2, places).reshape(*places.shape[:2], -1, 4) * weights[:, None]
        mixed = squares.sum(dim=3)
        parts = self.normalized(self.vectors[which].to(z.dtype)).flatten(2)
        shares = product_shares(mixed.sqrt().flatten(1), parts.flatten(1)).reshape(mixed.shape)
        split = shares[..., None] * squares / mixed.clamp_min(torch.finfo(z.dtype).tiny)[..., None]
        result = torch.zeros_like(widened(latents)).flatten(2)
        result[:, : self.channels].scatter_add_(2, places, split.flatten(2))
        return result.reshape(latents.shape)

    def patches(self, latents: Tensor, rows: Tensor) -> Tensor:
        """Return what the parts of all windows of the images ``rows`` (n,) read: (n, windows, E, k, k)."""
        z, offsets = self._split(widened(latents)[rows])
        cells, weights = corners(offsets, (z.shape[2], z.shape[3]), self.parts)
        count = cells.shape[1]
        images = torch.arange(len(rows), device=rows.device).repeat_interleave(count)
        features = sample(z, images, cells.flatten(0, 1), weights.flatten(0, 1))  # (n·windows, ρ, E)
        return features.transpose(1, 2).reshape(len(rows), count, self.channels, self.parts, self.parts)

    def projected_vectors(self, patches: Tensor) -> Tensor:
        """Scale parts to length 64/√ρ, as in the authors' code.

        Only the direction of a part counts, but Adam's steps do not depend on the length: at length 1/√ρ, each step
        would turn a part 64 times as far.
        """
        return PROJECTED_LENGTH * patches

    def measure(self, patches: Tensor, vectors: Tensor) -> Tensor:
        """Compute −g in float64 from what the parts read, (..., E, k, k), and prototypes."""
        wide, shape = widest(patches.device), vectors.shape
        parts = self.normalized(vectors.to(wide).reshape(-1, *shape[-3:])).reshape(shape)
        similarities: Tensor = (patches.to(wide) * parts).flatten(-3).contiguous().sum(dim=-1)
        return -similarities

    @torch.no_grad()
    def between(self) -> Tensor:
        """Return the similarities of all prototypes to each other, each part at its regular place."""
        patches = self.unit_vectors(self.vectors[:, : self.depth].to(widest(self.vectors.device)))
        return self.activation(pairwise_measures(patches, self.vectors, self.measure))

    def error_scale(self, latents: Tensor) -> Tensor:
        """Return 1: both sides of the product have length 1."""
        return torch.ones(len(self), dtype=widest(latents.device), device=latents.device)

    def _split(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Split the latents into ẑ (B, E, H, W) and the offsets (B, 2ρ, h, w)."""
        height, width = self.grid(latents)
        return latents[:, : self.channels], latents[:, self.channels :, :height, :width]

    def _windows(self, latents: Tensor) -> Tensor:
        """Return what the parts of all windows read, (B, h·w, ρ·E)."""
        z, offsets = self._split(latents)
        cells, weights = corners(offsets, (z.shape[2], z.shape[3]), self.parts)
        batch, count = cells.shape[:2]
        images = torch.arange(batch, device=z.device).repeat_interleave(count)
        features = sample(z, images, cells.flatten(0, 1), weights.flatten(0, 1))
        return features.reshape(batch, count, self.parts**2 * self.channels)

    def _largest_products(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        return largest_products(self._windows(latents), self.unit_parts(self.vectors).flatten(1))
