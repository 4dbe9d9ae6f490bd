"""PIP-Net's prototypes: channels of a latent map that is a softmax over channels."""

from __future__ import annotations

import torch
from torch import Tensor

from resemblance.prototypes.comparison import Comparison, Match
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.prototypes.precision import full_precision, widened

EXAMPLES = 10  # training images that show a prototype


class ChannelPrototypes(PrototypeLayer):
    """Prototypes that are channels; the similarity to an image is the presence, the maximum over the map.

    Args:
        owners: (P, C) bool, multi-hot.
        least_presence: the presence below which a prototype counts as absent.

    Attributes:
        channels: (P,), the channel of each prototype.
        examples: (P, 10), indices of the training images with its largest presences; −1 while unknown.
        strengths: (P, 10), these presences; NaN while unknown.
    """

    channels: Tensor
    examples: Tensor
    strengths: Tensor

    def __init__(self, owners: Tensor, least_presence: float) -> None:
        super().__init__(owners)
        self.least_presence = least_presence
        count = len(owners)
        self.register_buffer("channels", torch.arange(count))
        self.register_buffer("examples", torch.full((count, EXAMPLES), -1, dtype=torch.int64))
        self.register_buffer("strengths", torch.full((count, EXAMPLES), torch.nan))

    @property
    def has_maps(self) -> bool:
        """True: presences have a place in the image."""
        return True

    def forward(self, latents: Tensor) -> Comparison:
        """Compute presences (B, P)."""
        with full_precision(latents):
            return Comparison(widened(latents).amax(dim=(2, 3))[:, self.channels])

    @torch.no_grad()
    def match(self, latents: Tensor) -> Match:
        """Return negative presences and their cells; infinite where a prototype counts as absent."""
        presence, cells = self.maps(latents).flatten(2).max(dim=2)
        return Match(torch.where(presence >= self.least_presence, -presence, torch.inf), cells)

    def maps(self, latents: Tensor, which: Tensor | None = None) -> Tensor:
        """Return the prototypes' channels, (B, K, H, W)."""
        return widened(latents)[:, self.channels if which is None else self.channels[which]]

    def shares(self, latents: Tensor, which: Tensor, released: bool = False) -> Tensor:
        """Return 1 for the prototype's channel at the cell of its presence."""
        channels = self.channels[which]
        maps = latents[torch.arange(len(which), device=which.device), channels].flatten(1)
        first = torch.zeros_like(latents).flatten(2)
        first[torch.arange(len(which), device=which.device), channels, maps.argmax(dim=1)] = 1.0
        return first.reshape(latents.shape)

    def patch_boxes(self, cells: Tensor, grid: tuple[int, int], size: tuple[int, int]) -> Tensor:
        """Return the boxes of patches as in the authors' code: 32 of 224 pixels, evenly spread over the image."""
        cells, sides = cells.cpu(), []
        for place, count, length in (
            (cells % grid[1], grid[1], size[1]),
            (cells // grid[1], grid[0], size[0]),
        ):
            side = max(round(32 / 224 * length), -(-length // count))
            start = (place * ((length - side) / max(count - 1, 1))).round().long()
            sides.append((start, start + side))
        (x0, x1), (y0, y1) = sides
        return torch.stack([x0, y0, x1, y1], dim=1)
