"""The similarity map of a prototype: the similarities of all places, enlarged to the image. Exact, and free."""

from __future__ import annotations

import torch
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.config.relevance import MapKind
from resemblance.core.classifier import Classifier
from resemblance.core.output import Output
from resemblance.core.prototype_model import PrototypeModel, prototypes_of
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
    maps: Tensor | None = None
    for first, layer, latents in model.prototypes.components(output.latents):
        inside = (which >= first) & (which < first + len(layer))
        rows, columns = inside.nonzero().T
        if not len(rows):
            continue
        if not layer.has_maps:
            raise UserError(
                f"{model.name} compares whole images: prototype {int(which[inside][0])} has no similarity map; "
                "choose smoothgrad, integrated, gradient or prp"
            )
        chosen, position = torch.unique(which[inside] - first, return_inverse=True)
        device = layer.owners.device
        cells = layer.maps(latents, chosen.to(device))[rows.to(device), position.to(device)]
        enlarged = upsample(cells, size).to(which.device)
        if maps is None:
            maps = enlarged.new_zeros(*which.shape, *size)
        maps[rows, columns] = enlarged
    return torch.zeros(*which.shape, *size, device=which.device) if maps is None else maps
