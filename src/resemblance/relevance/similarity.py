"""The similarity map of a prototype: the similarities of all places, enlarged to the image. Exact, and free."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.config.relevance import MapKind
from resemblance.core.classifier import Classifier
from resemblance.core.output import Output
from resemblance.core.prototype_model import PrototypeModel, prototypes_of
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.prototypes.maps import upsample


def default_kind(model: Classifier) -> MapKind:
    """Return the kind of map that explanations show: the similarity map, or SmoothGrad where there is none.

    Methods that compare whole images have no similarity map, nor has the black box.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.config.model import ModelSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> [default_kind(build(name, {}, spec)) for name in ("prototypedl", "kmex")]
        ['smoothgrad', 'smoothgrad']
        >>> default_kind(build("protopnet", {"encoder": "small"}, spec))
        'similarity'
    """
    prototypes = prototypes_of(model)
    return "similarity" if prototypes is not None and prototypes.has_maps else "smoothgrad"


def similarity_maps(model: PrototypeModel, output: Output, which: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the similarity maps of prototypes, enlarged bicubically to the image.

    Args:
        model: a model with prototypes.
        output: its output for B images.
        which: (B, K) int64, the prototypes of each image.
        size: height and width of the image.

    Returns:
        (B, K, H, W), in the type of the similarities of places.

    Raises:
        UserError: if one of the prototypes has no map: it compares whole images.
    """
    which = which.to(model.device)
    rows = torch.arange(len(which), device=which.device)[:, None].expand_as(which).flatten()
    maps: Tensor | None = None
    for pairs, _, cells in place_maps(model, output, rows, which.flatten()):
        if cells is None:
            raise UserError(
                f"{model.name} compares whole images: prototype {int(which.flatten()[pairs[0]])} has no similarity "
                "map; choose smoothgrad, integrated, gradient or prp"
            )
        enlarged = upsample(cells, size).to(which.device)
        if maps is None:
            maps = enlarged.new_zeros(which.numel(), *size)
        maps[pairs] = enlarged
    whole = torch.zeros(which.numel(), *size, device=which.device) if maps is None else maps
    return whole.reshape(*which.shape, *size)


def place_maps(
    model: PrototypeModel, output: Output, rows: Tensor, which: Tensor
) -> Iterator[tuple[Tensor, PrototypeLayer, Tensor | None]]:
    """Yield the similarities of all places for pairs of image and prototype, layer by layer.

    Args:
        model: a model with prototypes.
        output: its output for B images.
        rows: (n,) int64, the images of the pairs.
        which: (n,) int64, their prototypes.

    Yields:
        The numbers (m,) of the pairs whose prototypes are in a layer, the layer, and the maps (m, h, w); None for
        prototypes that compare whole images.
    """
    return latent_place_maps(model.prototypes, output.latents, rows, which)


def latent_place_maps(
    prototypes: PrototypeLayer, latents: Any, rows: Tensor, which: Tensor
) -> Iterator[tuple[Tensor, PrototypeLayer, Tensor | None]]:
    """Yield the same as `place_maps`, from the latents of B images alone."""
    for first, layer, own in prototypes.components(latents):
        (pairs,) = ((which >= first) & (which < first + len(layer))).nonzero(as_tuple=True)
        if not len(pairs):
            continue
        if not layer.has_maps:
            yield pairs, layer, None
            continue
        device = layer.owners.device
        chosen, position = torch.unique(which[pairs] - first, return_inverse=True)
        yield (
            pairs,
            layer,
            layer.maps(own, chosen.to(device))[rows[pairs].to(device), position.to(device)],
        )
