"""Find the training image in which each prototype is strongest, where prototypes have no vectors."""

from __future__ import annotations

import torch
from torch import Tensor

from resemblance.prototypes.layer import PrototypeLayer

UNKNOWN = torch.iinfo(torch.int64).max


class StrongestImages:
    """The image with the smallest `PrototypeLayer.match` value so far, for each prototype; ties go to the lowest index.

    A prototype whose value is infinite for all images has no source. For prototypes with vectors use
    `nearest.NearestPatches` instead.

    Args:
        prototypes: of a model in evaluation mode.

    Attributes:
        values: (P,) the smallest values so far, infinite while unknown.
        indices: (P,) image indices.
        cells: (P,) flat indices of the cells.
        grid: rows and columns of the cells; (1, 1) where cells are whole images.
    """

    def __init__(self, prototypes: PrototypeLayer) -> None:
        self.prototypes = prototypes
        count, device = len(prototypes), prototypes.owners.device
        self.values = torch.full((count,), torch.inf, device=device)
        self.indices = torch.full((count,), UNKNOWN, device=device)
        self.cells = torch.zeros(count, dtype=torch.int64, device=device)
        self.grid = (1, 1)

    def update(self, latents: Tensor, mask: Tensor, indices: Tensor) -> None:
        """Update with a batch: latents, mask (B, P) of the allowed pairs, and indices (B,) of the images."""
        self.grid = self.prototypes.grid(latents)
        match = self.prototypes.match(latents)
        values = match.values.float().masked_fill(~mask, torch.inf)
        smallest = values.amin(dim=0)
        candidates = indices[:, None].masked_fill((values != smallest) | ~mask, UNKNOWN)
        lowest, rows = candidates.min(dim=0)
        better = (smallest < self.values) | ((smallest == self.values) & (lowest < self.indices))
        better &= (lowest != UNKNOWN) & smallest.isfinite()
        cells = match.cells.gather(0, rows[None])[0]
        self.values = torch.where(better, smallest, self.values)
        self.indices = torch.where(better, lowest, self.indices)
        self.cells = torch.where(better, cells, self.cells)

    def record(self, boxes: Tensor) -> None:
        """Store image and box (P, 4) in the prototypes; there is no distance."""
        missing = self.indices == UNKNOWN
        self.prototypes.source_index.copy_(self.indices.masked_fill(missing, -1))
        self.prototypes.source_distance.fill_(torch.nan)
        self.prototypes.source_box.copy_(boxes.to(missing.device).masked_fill(missing[:, None], 0))
