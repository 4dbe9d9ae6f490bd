"""The places of an attack: where a prototype is found, and where it is to be found afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from resemblance.audit.places.cell_regions import box_cells, cell_pixels, filled_rectangle
from resemblance.core.prototype_model import PrototypeModel
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.prototypes.maps import percentile_boxes, upsample
from resemblance.relevance.similarity import latent_place_maps

Variant = Literal["paper", "released"]


class PairMaps(NamedTuple):
    """Similarity maps for pairs of image and prototype whose prototypes are in one layer.

    Args:
        pairs: (m,) int64, the numbers of the pairs.
        layer: the layer of their prototypes.
        cells: (m, h, w), the similarity of each cell.
    """

    pairs: Tensor
    layer: PrototypeLayer
    cells: Tensor


def pair_maps(model: PrototypeModel, latents: Any, rows: Tensor, which: Tensor) -> list[PairMaps]:
    """Return the maps of the prototypes ``which`` (n,) in the images ``rows`` (n,), with gradient, layer by layer.

    Only an ensemble has several layers. Prototypes without a map are left out.

    Args:
        model: the model.
        latents: of B images, as ``model.latents`` returns them.
        rows: (n,) int64.
        which: (n,) int64.
    """
    found = latent_place_maps(model.prototypes, latents, rows, which)
    return [
        PairMaps(pairs, layer, cells.to(which.device)) for pairs, layer, cells in found if cells is not None
    ]


def collected(maps: Sequence[PairMaps], values: Sequence[Tensor], count: int) -> Tensor:
    """Return the values (m,) of all layers in the order of the n pairs, (n,); 0 for pairs without a map."""
    total = values[0].new_zeros(count) if values else torch.zeros(count)
    for own, value in zip(maps, values, strict=True):
        total = total.index_copy(0, own.pairs, value)
    return total


def best_matches(maps: Sequence[PairMaps], count: int) -> Tensor:
    """Return the largest similarity of each of the n pairs' maps, (n,)."""
    return collected(maps, [own.cells.amax(dim=(1, 2)) for own in maps], count)


def shown_boxes(maps: PairMaps, size: tuple[int, int]) -> Tensor:
    """Return the boxes (m, 4) by which the papers mark where the prototypes are found.

    This is the box of 95 %, ``percentile_box`` of an explanation, or the patch of a fixed size where there is one.
    """
    grid = (maps.cells.shape[1], maps.cells.shape[2])
    patches = maps.layer.patch_boxes(maps.cells.flatten(1).argmax(dim=1), grid, size)
    return percentile_boxes(upsample(maps.cells, size)) if patches is None else patches.to(maps.cells.device)


@dataclass(frozen=True)
class Aim:
    """Where the prototypes of pairs are found, and where an attack is to move them.

    Args:
        pairs: (m,) int64, the numbers of the pairs.
        place: (m, h, w) bool, S of the paper: the cells of the box by which explanations mark the place.
        target: (m, h, w) bool, S_noisy: the cells whose similarity is raised, and whose pixels may change.
        wanted: (m, h, w) bool, the cells that must hold the best match for a success.
    """

    pairs: Tensor
    place: Tensor
    target: Tensor
    wanted: Tensor

    @classmethod
    def away(cls, maps: PairMaps, size: tuple[int, int], variant: Variant = "paper") -> Aim:
        """Aim at all cells outside of the place, as in the success rate (appendix F.1).

        Args:
            maps: of the images as they are.
            size: height and width of the image.
            variant: ``released`` replaces the target by the rectangle around it, which usually is the whole image.
        """
        place = box_cells(shown_boxes(maps, size), (maps.cells.shape[1], maps.cells.shape[2]), size)
        target = ~place
        if variant == "released":
            target = filled_rectangle(target)
        return cls(maps.pairs, place, target, ~place)

    @property
    def weights(self) -> Tensor:
        """The factors (m, h, w) of the similarities in the objective, eq. 2.

        +1/|S_noisy| on the target, −1/|S| on the place. Cells in both, which only ``released`` has, count for the
        target alone, as in the authors' code.
        """
        place = (self.place & ~self.target).float() / self.place.sum(dim=(1, 2), keepdim=True).clamp_min(1)
        return self.target.float() / self.target.sum(dim=(1, 2), keepdim=True).clamp_min(1) - place

    def reached(self, cells: Tensor) -> Tensor:
        """Return for which maps (m, h, w) the best match is in a wanted cell, (m,) bool."""
        return self.largest(cells) > cells.masked_fill(self.wanted, -torch.inf).amax(dim=(1, 2))

    def largest(self, cells: Tensor) -> Tensor:
        """Return the largest similarity in the wanted cells of maps (m, h, w), (m,); −∞ without such cells."""
        return cells.masked_fill(~self.wanted, -torch.inf).amax(dim=(1, 2))


class Aims:
    """The aims for n pairs, layer by layer.

    Args:
        parts: the aims of the layers.
        count: n.
    """

    def __init__(self, parts: Sequence[Aim], count: int) -> None:
        self.parts = tuple(parts)
        self.count = count

    def __iter__(self) -> Iterator[Aim]:
        return iter(self.parts)

    def __getitem__(self, chosen: Tensor) -> Aims:
        """Return the aims of the pairs ``chosen`` (k,) int64, in ascending order."""
        keep = torch.zeros(self.count, dtype=torch.bool, device=chosen.device)
        keep[chosen] = True
        position = keep.cumsum(dim=0) - 1
        parts = []
        for aim in self:
            inside = keep[aim.pairs]
            rows = (aim.place[inside], aim.target[inside], aim.wanted[inside])
            parts.append(Aim(position[aim.pairs[inside]], *rows))
        return Aims([part for part in parts if len(part.pairs)], len(chosen))

    def mask(self, size: tuple[int, int]) -> Tensor:
        """Return the pixels of the targets, (n, 1, H, W) bool."""
        device = self.parts[0].pairs.device if self.parts else None
        pixels = torch.zeros(self.count, 1, *size, dtype=torch.bool, device=device)
        for aim in self:
            pixels[aim.pairs] = cell_pixels(aim.target, size)
        return pixels

    def usable(self, maps: Sequence[PairMaps]) -> Tensor:
        """Return the numbers (k,) of the pairs for which there is something to move.

        Not where the place fills the image, or the best match of the image as it is already lies elsewhere.
        """
        inside = [
            aim.wanted.any(dim=(1, 2)) & aim.place.any(dim=(1, 2)) & ~aim.reached(own.cells)
            for aim, own in zip(self, maps, strict=True)
        ]
        return collected(maps, inside, self.count).nonzero().flatten()
