"""The prototypes of an ensemble: those of its members, one after the other."""

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
    """Prototypes of several layers, which keep their vectors; owners in the ensemble's order of classes.

    The latents are a tuple, one for each member.

    Args:
        layers: the members' prototypes.
        columns: for each member, where each of the ensemble's classes (C,) stands in it.
    """

    def __init__(self, layers: Sequence[PrototypeLayer], columns: Sequence[Tensor]) -> None:
        owners = [layer.owners.cpu()[:, order] for layer, order in zip(layers, columns, strict=True)]
        super().__init__(torch.cat(owners))
        self.layers = tuple(layers)  # in a tuple, so that they are not saved a second time
        for name in BUFFERS:
            joined = torch.cat([getattr(layer, name).cpu() for layer in layers])
            self.get_buffer(name).copy_(joined)

    @property
    def has_maps(self) -> bool:
        """Whether any member has maps."""
        return any(layer.has_maps for layer in self.layers)

    def forward(self, latents: Any) -> Comparison:
        """The members' similarities side by side, (B, P)."""
        pairs = zip(self.layers, latents, strict=True)
        return Comparison(torch.cat([layer(part).similarities for layer, part in pairs], dim=1))

    def components(self, latents: Any) -> Iterator[tuple[int, PrototypeLayer, Any]]:
        """The members' layers, each with its latents."""
        first = 0
        for layer, part in zip(self.layers, latents, strict=True):
            yield first, layer, part
            first += len(layer)
