"""Source images embedded again: are the prototypes still where, and what, their folder says?"""

from __future__ import annotations

import torch
from torch import Tensor

from resemblance.core.prototype_model import PrototypeModel
from resemblance.prototypes.geometry import SquaredDistance
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.prototypes.maps import cell_boxes, percentile_boxes, upsample
from resemblance.prototypes.precision import widest
from resemblance.prototypes.vectors import CHUNK, VectorPrototypes

EXACT = 1e-4  # of the vectors' lengths: what float32 on another machine, or in other batches, leaves
ROUNDED = 2.0**-7  # the same for arithmetic of 16 bits
APART = 0.05  # of the median distance of two prototypes: rounding must be small beside it, too
PERCENTS = (94.0, 96.0)  # the box of a map at 95 % lies between these two, whatever the rounding


@torch.no_grad()
def vector_errors(layer: VectorPrototypes, latents: Tensor, rows: Tensor, which: Tensor) -> Tensor:
    """Return how far projected prototypes are from the nearest patches of their source images.

    Args:
        layer: the prototypes.
        latents: of B images.
        rows: (n,), the image of each pair.
        which: (n,), its prototype.

    Returns:
        (n,) ‖z − p‖ / (‖z‖ + ‖p‖), of vectors as they are compared.
    """
    cells = layer.grid(latents)[0] * layer.grid(latents)[1]
    size = max(CHUNK // (cells * layer.vectors[0].numel()), 1)
    errors = [latents.new_zeros(0, dtype=widest(latents.device))]
    for r, w in zip(torch.split(rows, size), torch.split(which, size), strict=True):
        patches = layer.projected_vectors(layer.patches(latents, r))
        count = patches.shape[1]
        z = layer.normalized(patches.flatten(0, 1)).to(errors[0].dtype).reshape(len(r), count, -1)
        p = layer.normalized(layer.vectors[w]).to(errors[0].dtype).flatten(1)[:, None]
        lengths = torch.linalg.vector_norm(z, dim=2) + torch.linalg.vector_norm(p, dim=2)
        distances = torch.linalg.vector_norm(z - p, dim=2)
        errors.append((distances / lengths.clamp_min(torch.finfo(torch.float32).tiny)).amin(dim=1))
    return torch.cat(errors)


@torch.no_grad()
def distance_errors(layer: VectorPrototypes, latents: Tensor, rows: Tensor, which: Tensor) -> Tensor:
    """Return how far the distances to the source images are from those stored, for prototypes that do not project.

    Returns:
        (n,) the difference, relative to the lengths of patch and prototype; infinite where no distance is stored.
    """
    places = layer.at(latents, rows, which)
    now, stored = places.values, layer.source_distance[which].to(places.values.dtype)
    p = layer.vectors[which].flatten(1).to(now.dtype)
    lengths = torch.linalg.vector_norm(places.vectors.flatten(1).to(now.dtype), dim=1) + p.norm(dim=1)
    now = torch.where(now.isneginf(), torch.zeros_like(now), now)
    if isinstance(layer.geometry, SquaredDistance):
        now, stored = now.clamp_min(0).sqrt(), stored.clamp_min(0).sqrt()
    errors = (now - stored).abs() / lengths.clamp_min(torch.finfo(torch.float32).tiny)
    differences: Tensor = errors.nan_to_num(nan=torch.inf)
    return differences


def rounding_limit(layer: VectorPrototypes) -> Tensor:
    """Return the errors (P,), on the CPU, up to which a vector may be the same one after arithmetic of 16 bits."""
    vectors = layer.normalized(layer.vectors.detach()).cpu().double().flatten(1)
    lengths = torch.linalg.vector_norm(vectors, dim=1)
    between = torch.cdist(vectors, vectors).flatten()
    typical = between[between > 0].median() if bool((between > 0).any()) else between.new_tensor(torch.inf)
    limit: Tensor = APART * typical / (2 * lengths).clamp_min(torch.finfo(torch.float32).tiny)
    return torch.minimum(limit, torch.full_like(limit, ROUNDED))


@torch.no_grad()
def compare_boxes(
    model: PrototypeModel, latents: Tensor, rows: Tensor, which: Tensor
) -> tuple[Tensor, Tensor]:
    """Compare the stored boxes with the places that the prototypes have in their source images.

    Boxes that were cut from the map before projection (``boxes_before_push``) cannot be computed again: they agree.

    Args:
        model: its prototypes have the stored boxes.
        latents: of B images.
        rows: (n,), the image of each pair.
        which: (n,), its prototype.

    Returns:
        Whether each box agrees (n,), and the boxes as they should be (n, 4).
    """
    layer, size = model.prototypes, model.spec.image.size
    stored = layer.source_box[which]
    if not layer.has_maps:
        whole = stored.new_tensor([0, 0, size[1], size[0]]).expand_as(stored)
        return (stored == whole).all(dim=1), whole
    if not model.traits.projects:
        return _best_cells(layer, latents, rows, which, size)
    maps = layer.source_maps(latents, rows, which, layer.vectors.detach()[which])
    if maps is None or model.traits.boxes_before_push:
        return torch.ones_like(which, dtype=torch.bool), stored
    large = upsample(maps, size)
    outer, inner = (percentile_boxes(large, percent) for percent in PERCENTS)
    sign = stored.new_tensor([1, 1, -1, -1])  # left and upper edges grow inwards
    between = (sign * outer <= sign * stored) & (sign * stored <= sign * inner)
    return between.all(dim=1), percentile_boxes(large)


def _best_cells(
    layer: PrototypeLayer, latents: Tensor, rows: Tensor, which: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Check that boxes are those of a cell that is the most similar one, up to rounding."""
    grid = layer.grid(latents)
    cells = torch.arange(grid[0] * grid[1], device=which.device)
    boxes = layer.patch_boxes(cells, grid, size)
    boxes = (cell_boxes(cells, grid, size) if boxes is None else boxes).to(which.device)
    maps = layer.maps(latents).flatten(2)[rows, which]  # (n, cells)
    highest, best = maps.max(dim=1, keepdim=True)
    high = maps >= highest - 1e-3 * highest.abs()
    same = (boxes == layer.source_box[which][:, None]).all(dim=2)
    return (high & same).any(dim=1), boxes[best.squeeze(1)]
