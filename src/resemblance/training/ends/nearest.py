"""The nearest training patch of each prototype, exactly, in one pass.

A model's distances come from matrix products and are rounded: where two patches are about as near, they may
be told apart wrongly, and a projected prototype might move on to its neighbour. So the rounded distances only
name candidates, all pairs of image and prototype within the rounding error of the smallest; these are then
measured by differences in float64. Ties go to the lowest image index, then to the lowest cell.

A patch that is the prototype itself comes before any other. With distances it is the nearest anyway; with
projection lengths (TesNet) a longer patch of about the same direction would come first, and a prototype that is
a training patch already would move on.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch import distributed as dist

from resemblance.core.distributed import world
from resemblance.core.model import Model

UNKNOWN = torch.iinfo(torch.int64).max
CHUNK = 1 << 22  # numbers held at once while measuring


class Nearest:
    """The nearest patch so far, of each prototype among the images that it may come from.

    Args:
        model: with prototypes, in evaluation mode.

    Attributes:
        values: (P,) the smallest rounded distances so far, infinite while unknown.
        distances: (P,) float64, exact; infinite while unknown, −infinite if the patch is the prototype itself.
        indices: (P,) image index, `UNKNOWN` while unknown.
        cells: (P,) flat index of the cell.
        vectors: (P, *shape) the latent patches.
        maps: (P, h·w) float64, distances of the cells of the source image to the patch.
        grid: rows and columns of the cells; (1, 1) for whole images.
        seen: (P,) bool, whether there was any image that the prototype may come from.
    """

    def __init__(self, model: Model) -> None:
        assert model.prototypes is not None
        self.model = model
        self.prototypes = model.prototypes
        vectors = self.prototypes.vectors.detach()
        count, device = len(vectors), vectors.device
        self.wide = torch.float32 if device.type == "mps" else torch.float64
        self.distances = torch.full((count,), torch.inf, dtype=self.wide, device=device)
        self.values = self.distances.clone()
        self.indices = torch.full((count,), UNKNOWN, device=device)
        self.cells = torch.zeros(count, dtype=torch.int64, device=device)
        self.vectors = vectors.clone()
        self.maps = torch.zeros(count, 1, dtype=self.wide, device=device)
        self.grid = (1, 1)
        self.seen = torch.zeros(count, dtype=torch.bool, device=device)

    @property
    def found(self) -> Tensor:
        """(P,) bool: the prototypes that have a nearest patch."""
        return self.indices != UNKNOWN

    def update(self, latents: Tensor, mask: Tensor, indices: Tensor) -> None:
        """Take a batch into account.

        Args:
            latents: of the images.
            mask: (B, P) bool, which image a prototype may come from.
            indices: (B,) of the images in the whole set.
        """
        self._set_grid(latents)
        self.seen |= mask.any(dim=0)
        values = self.model.match(latents).values.masked_fill(~mask, torch.inf)
        self.values = torch.minimum(self.values, values.amin(dim=0).to(self.wide))
        # The image that a prototype was taken from is measured in any case: it may still hold the prototype itself.
        source = indices[:, None] == self.prototypes.source_index
        near = ((values <= self.values + self._tolerance(latents)) | source) & mask
        rows, columns = near.nonzero(as_tuple=True)
        if len(rows) == 0:
            return
        measured = [self._measure(latents, r, c) for r, c in self._chunks(rows, columns)]
        distances, cells = (torch.cat(parts) for parts in zip(*measured, strict=True))
        # Of each prototype, keep the smallest pair (distance, index), old or new.
        best = torch.full_like(self.distances, torch.inf).scatter_reduce(0, columns, distances, "amin")
        order = indices[rows].masked_fill(distances != best[columns], UNKNOWN)
        lowest = torch.full_like(self.indices, UNKNOWN).scatter_reduce(0, columns, order, "amin")
        better = (best < self.distances) | ((best == self.distances) & (lowest < self.indices))
        chosen = ((order == lowest[columns]) & (order != UNKNOWN) & better[columns]).nonzero().flatten()
        rows, columns, cells = rows[chosen], columns[chosen], cells[chosen]
        self.distances[columns] = distances[chosen]
        self.indices[columns] = order[chosen]
        self.cells[columns] = cells
        for r, c, cell in self._chunks(rows, columns, cells):
            patches = self._patches(latents, r)
            own = patches[torch.arange(len(r), device=r.device), cell]
            self.vectors[c] = own.to(self.vectors.dtype)
            self.maps[c] = self.model.patch_distances(patches, own[:, None])

    def record(self, distances: Tensor, boxes: Tensor) -> None:
        """Leave the provenance in the prototypes: source image, distance (P,) to it and box (P, 4) in it."""
        missing = ~self.found
        distances = distances.masked_fill(distances.isneginf(), 0)
        self.prototypes.source_index.copy_(self.indices.masked_fill(missing, -1))
        self.prototypes.source_distance.copy_(distances.masked_fill(missing, torch.nan))
        self.prototypes.source_box.copy_(boxes.masked_fill(missing[:, None], 0))

    def merge(self) -> None:
        """Combine the findings of all processes; each has looked at its share of the images."""
        if world() == 1:
            return
        distances, indices = _gathered(self.distances), _gathered(self.indices)
        best = distances.amin(dim=0)
        order = indices.masked_fill(distances != best, UNKNOWN)
        rank = order.argmin(dim=0)
        columns = torch.arange(len(rank), device=rank.device)
        for name in ("distances", "indices", "cells", "vectors", "maps"):
            setattr(self, name, _gathered(getattr(self, name))[rank, columns])
        self.seen = _gathered(self.seen.to(torch.int64)).amax(dim=0).bool()

    def _measure(self, latents: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Exact distance of the nearest patch of images ``rows`` to prototypes ``columns``, and its cell."""
        vectors = self.prototypes.vectors.detach()[columns][:, None]
        patches = self._patches(latents, rows)
        distances = self.model.patch_distances(patches, vectors)
        itself = (patches == vectors).flatten(2).all(dim=2)
        distances = distances.masked_fill(itself, -torch.inf)
        smallest = distances.amin(dim=1)
        positions = torch.arange(distances.shape[1], device=distances.device)
        cells = torch.where(distances == smallest[:, None], positions, UNKNOWN).amin(dim=1)
        return smallest, cells.clamp_max(distances.shape[1] - 1)

    def _patches(self, latents: Tensor, rows: Tensor) -> Tensor:
        """All patches of the images ``rows`` (n,): (n, cells, *shape)."""
        if not self.model.maps:
            whole = self.model.embed(latents)[rows]
            return whole.reshape(len(rows), 1, *self.vectors.shape[1:])
        count = self.grid[0] * self.grid[1]
        cells = torch.arange(count, device=rows.device).repeat(len(rows))
        patches = self.model.patch_vectors(latents, rows.repeat_interleave(count), cells)
        return patches.reshape(len(rows), count, *self.vectors.shape[1:])

    def _chunks(self, *columns: Tensor) -> Iterator[tuple[Tensor, ...]]:
        size = max(CHUNK // (self.maps.shape[1] * self.vectors[0].numel()), 1)
        return zip(*(torch.split(column, size) for column in columns), strict=True)

    def _set_grid(self, latents: Tensor) -> None:
        if not self.model.maps or self.grid != (1, 1):
            return
        self.grid = self.model.window_grid(latents)
        self.maps = self.maps.new_zeros(len(self.vectors), self.grid[0] * self.grid[1])

    def _tolerance(self, latents: Tensor) -> Tensor:
        """(P,) more than twice the rounding error of the model's distances in the arithmetic at hand."""
        length = self.vectors[0].numel()
        if self.model.maps:
            largest = latents.square().sum(dim=1).amax() * (length / latents.shape[1])
        else:
            largest = latents.flatten(1).square().sum(dim=1).amax()
        size = self.model.distance_error_scale(largest.to(self.wide).sqrt())
        return size * (2 * _unit(latents.device, length))


def _unit(device: torch.device, length: int) -> float:
    """Relative error of a dot product of that length."""
    precision = torch.get_float32_matmul_precision()
    if precision == "medium":  # operands may be rounded to bfloat16
        return 2.0**-7
    if precision == "high" or device.type != "cpu":  # or to TensorFloat-32
        return 2.0**-10
    return 2.0**-24 * (8 + length / 8)


def _gathered(tensor: Tensor) -> Tensor:
    """(world, ...) the tensor of each process."""
    parts = [torch.empty_like(tensor) for _ in range(world())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.stack(parts)
