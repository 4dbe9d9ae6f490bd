"""The patches of other images that could take the place of prototypes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.batch import Batch
from resemblance.training.ends.nearest import NearestPatches
from resemblance.training.ends.projection import source_boxes


@dataclass(frozen=True)
class Swap:
    """The nearest patch of other images for each prototype.

    Args:
        vectors: (P, *shape), the prototypes that they would be; where there is none, the prototype itself.
        distances: (P,) in the geometry of the prototypes; infinite where there is none.
        positions: (P,) of the images; −1 where there is none.
        boxes: (P, 4), the places in these images.
    """

    vectors: Tensor
    distances: Tensor
    positions: Tensor
    boxes: Tensor

    def nearest_share(self, quantile: float) -> Tensor:
        """Return which prototypes have a distance below the quantile, (P,) bool: that share of them, rounded up.

        Example:
            >>> none = torch.zeros(4, 1)
            >>> swap = Swap(none, torch.tensor([3.0, 1.0, torch.inf, 2.0]), torch.tensor([5, 6, -1, 7]), none)
            >>> swap.nearest_share(0.5)
            tensor([False,  True, False,  True])
        """
        known = self.positions >= 0
        count = math.ceil(quantile * int(known.sum()))
        chosen = self.distances.argsort(stable=True)[:count]
        return torch.zeros_like(known).scatter(0, chosen, True) & known

    def replaced(self, vectors: Tensor, quantile: float) -> Tensor:
        """Return prototype vectors of which those below the quantile are replaced."""
        chosen = self.nearest_share(quantile).reshape(-1, *[1] * (vectors.dim() - 1))
        return torch.where(chosen, self.vectors, vectors)


@torch.no_grad()
def nearest_swap(model: PrototypeModel, batches: Iterable[Batch], *, own: bool) -> Swap:
    """Find the nearest patch of images for each prototype.

    Args:
        model: with vectors as prototypes; it stays as it is.
        batches: of the images; their indices are positions.
        own: whether a prototype may be replaced only by images of its own classes, other than its source.
    """
    layer = model.prototypes
    nearest = NearestPatches(layer)
    for batch in batches:
        latents = model.latents(batch.images).float()
        mask = torch.ones(len(latents), len(layer), dtype=torch.bool, device=latents.device)
        if own:
            mask = layer.owners.T[batch.labels] | ~layer.owners.any(dim=1)
            mask &= batch.indices[:, None] != layer.source_index
        nearest.update(latents, mask, batch.indices)
    positions = nearest.indices.masked_fill(~nearest.known, -1)
    return Swap(nearest.vectors, nearest.distances, positions, source_boxes(nearest, model.spec.image.size))
