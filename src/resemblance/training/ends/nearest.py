"""Find the nearest training patch of each prototype exactly, in one pass.

A layer selects patches by matrix products, which are rounded: where two patches are about equally near, the wrong one
may appear nearer, and a projected prototype might move on to its neighbour. So the layer's distances only select
candidates, all pairs of image and prototype within the rounding error of the smallest; these are then measured
exactly (`PrototypeLayer.at`). Ties go to the lowest image index, then to the lowest cell.
"""

from __future__ import annotations

import torch
from torch import Tensor

from resemblance.prototypes.layer import PrototypeLayer
from resemblance.prototypes.precision import widest

UNKNOWN = torch.iinfo(torch.int64).max


class NearestPatches:
    """The nearest patch so far of each prototype, among the images that the prototype may come from.

    Args:
        prototypes: of a model in evaluation mode.
        boxes_before: keep, for the boxes, the maps of the prototypes before projection, instead of those of the
            patches that they become.

    Attributes:
        values: (P,) the smallest rounded distances so far, infinite while unknown.
        distances: (P,) float64, exact; infinite while unknown, −infinite if the patch equals the prototype.
        indices: (P,) image indices, `UNKNOWN` while unknown.
        cells: (P,) flat indices of the cells.
        vectors: (P, *shape) the latent patches.
        maps: (P, h, w) similarities of the cells of the source image; None for prototypes of whole images.
        grid: rows and columns of the cells; (1, 1) for prototypes of whole images.
        seen: (P,) bool, whether there was any image that the prototype may come from.
    """

    def __init__(self, prototypes: PrototypeLayer, boxes_before: bool = False) -> None:
        self.prototypes, self.boxes_before = prototypes, boxes_before
        vectors = prototypes.vectors.detach()
        count, device = len(vectors), vectors.device
        self.wide = widest(device)
        self.distances = torch.full((count,), torch.inf, dtype=self.wide, device=device)
        self.values = self.distances.clone()
        self.indices = torch.full((count,), UNKNOWN, device=device)
        self.cells = torch.zeros(count, dtype=torch.int64, device=device)
        self.vectors = vectors.clone()
        self.maps: Tensor | None = None
        self.grid = (1, 1)
        self.seen = torch.zeros(count, dtype=torch.bool, device=device)

    @property
    def known(self) -> Tensor:
        """(P,) bool: the prototypes that have a nearest patch."""
        return self.indices != UNKNOWN

    def update(self, latents: Tensor, mask: Tensor, indices: Tensor, values: Tensor | None = None) -> None:
        """Update with a batch.

        Args:
            latents: the latents of the images.
            mask: (B, P) bool, whether a prototype may come from an image.
            indices: (B,) indices of the images in the whole set.
            values: (B, P) those of `PrototypeLayer.match`, if they are known.
        """
        self.grid = self.prototypes.grid(latents)
        self.seen |= mask.any(dim=0)
        values = self.prototypes.match(latents).values if values is None else values
        values = values.masked_fill(~mask, torch.inf)
        self.values = torch.minimum(self.values, values.amin(dim=0).to(self.wide))
        # A prototype's present source image is always measured: it may still contain the prototype itself.
        source = indices[:, None] == self.prototypes.source_index
        near = ((values <= self.values + self.prototypes.rounding_error(latents)) | source) & mask
        rows, columns = near.nonzero(as_tuple=True)
        if len(rows) == 0:
            return
        places = self.prototypes.at(latents, rows, columns)
        # For each prototype, keep the smallest pair (distance, index), old or new.
        distances = places.values.to(self.wide)
        best = torch.full_like(self.distances, torch.inf).scatter_reduce(0, columns, distances, "amin")
        order = indices[rows].masked_fill(distances != best[columns], UNKNOWN)
        lowest = torch.full_like(self.indices, UNKNOWN).scatter_reduce(0, columns, order, "amin")
        better = (best < self.distances) | ((best == self.distances) & (lowest < self.indices))
        chosen = ((order == lowest[columns]) & (order != UNKNOWN) & better[columns]).nonzero().flatten()
        rows, columns, places = rows[chosen], columns[chosen], places[chosen]
        self.distances[columns] = distances[chosen]
        self.indices[columns] = order[chosen]
        self.cells[columns] = places.cells
        self.vectors[columns] = places.vectors
        seen_as = self.prototypes.vectors.detach()[columns] if self.boxes_before else places.vectors
        self._keep_maps(columns, self.prototypes.source_maps(latents, rows, columns, seen_as))

    def _keep_maps(self, columns: Tensor, maps: Tensor | None) -> None:
        if maps is None:
            return
        if self.maps is None:
            self.maps = maps.new_zeros(len(self.vectors), *maps.shape[1:])
        self.maps[columns] = maps

    def record(self, distances: Tensor, boxes: Tensor) -> None:
        """Store the provenance in the prototypes: source image, distance (P,) to it and box (P, 4) in it."""
        missing = ~self.known
        distances = distances.masked_fill(distances.isneginf(), 0)
        self.prototypes.source_index.copy_(self.indices.masked_fill(missing, -1))
        self.prototypes.source_distance.copy_(distances.masked_fill(missing, torch.nan))
        self.prototypes.source_box.copy_(boxes.masked_fill(missing[:, None], 0))
