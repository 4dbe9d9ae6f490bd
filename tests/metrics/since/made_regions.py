"""Random maps and regions."""

from __future__ import annotations

import torch

from resemblance.data.regions.regions import Regions

SIZE = (56, 70)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def random_maps(images, columns, grid=(7, 7), seed=0):
    return torch.rand(images, columns, *grid, generator=generator(seed), dtype=torch.float64)


def random_points(images, columns, seed=0, size=SIZE, shown=0.6, **options):
    points = torch.rand(images, columns, 2, generator=generator(seed), dtype=torch.float64)
    points = points * torch.tensor([size[1], size[0]])
    visible = torch.rand(images, columns, generator=generator(seed + 1)) < shown
    return Regions(size, points=points, visible=visible, **options)


def random_masks(images, seed=0, size=SIZE):
    return torch.rand(images, *size, generator=generator(seed)) < 0.3


def rows(regions, chosen):
    """The regions of some of the images."""
    kinds = {kind: getattr(regions, kind) for kind in ("masks", "boxes", "points")}
    return Regions(
        regions.size,
        **{kind: None if values is None else values[chosen] for kind, values in kinds.items()},
        visible=regions.shown[chosen],
        parts=regions.part_of,
        names=regions.names,
    )
