"""The prototypes of an ensemble: those of all its members."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from resemblance.prototypes.comparison import Comparison
from resemblance.prototypes.layer import PrototypeLayer

BUFFERS = (
    "source_index",
    "source_box",
    "source_distance",
    "activations",
    "own_activations",
    "mean_similarity",
)


class JointPrototypes(PrototypeLayer):
    """The prototypes of several layers, with owners in the ensemble's order of classes.

    The layers keep their vectors. The latents are a tuple with one entry per member.

    Args:
        layers: the members' prototypes.
        columns: for each member, the indices (C,) of the ensemble's classes in it.
    """

    def __init__(self, layers: Sequence[PrototypeLayer], columns: Sequence[Tensor]) -> None:
        here = torch.get_default_device()  # the CPU, or the meta device where only shapes are wanted
        owners = [
            layer.owners.to(here)[:, order.to(here)] for layer, order in zip(layers, columns, strict=True)
        ]
        super().__init__(torch.cat(owners))
        self.layers = tuple(layers)  # in a tuple, so that they are not saved a second time
        for name in BUFFERS:
            joined = torch.cat([getattr(layer, name).to(here) for layer in layers])
            self.get_buffer(name).copy_(joined)

    @property
    def has_maps(self) -> bool:
        """Whether any member has maps."""
        return any(layer.has_maps for layer in self.layers)

    def forward(self, latents: Any) -> Comparison:
        """Return the members' similarities, concatenated, (B, P)."""
        pairs = zip(self.layers, latents, strict=True)
        return Comparison(torch.cat([layer(part).similarities for layer, part in pairs], dim=1))

    def components(self, latents: Any) -> Iterator[tuple[int, PrototypeLayer, Any]]:
        """Iterate over the members' layers: number of the first prototype, layer, latents."""
        first = 0
        for layer, part in zip(self.layers, latents, strict=True):
            yield first, layer, part
            first += len(layer)
