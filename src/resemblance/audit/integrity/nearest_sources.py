"""Is the image shown for a prototype the nearest one? For prototypes that are not training images themselves.

The image beside a cluster centre, a decoded prototype, an attribute or a channel is the nearest or strongest training
image. Another one could be shown, with its own picture and distance, that only looks better.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.batch import Batch
from resemblance.prototypes.precision import widest

NEARER = 1e-2  # of the value at the source: how much nearer another image has to be


@torch.no_grad()
def smallest_values(model: PrototypeModel, batch: Batch) -> dict[str, Tensor]:
    """Return the smallest values of `PrototypeLayer.match` in a batch of training images.

    Args:
        model: in evaluation mode.
        batch: its indices are those that ``source_index`` counts.

    Returns:
        ``smallest`` (P,) among the images that a prototype may show, ``at_source`` (P,) that of its source image,
        infinite where the batch does not have it, and ``margin`` (P,), the rounding error.
    """
    layer = model.prototypes
    latents = model.latents(batch.images)
    latents = latents.float() if isinstance(latents, Tensor) else latents
    values = layer.match(latents).values.to(widest(batch.images.device))
    owners = layer.owners
    allowed = owners | ~owners.any(dim=1, keepdim=True) | (model.traits.sources == "all")
    source = batch.indices[:, None] == layer.source_index
    return {
        "smallest": values.masked_fill(~allowed.T[batch.labels], torch.inf).amin(dim=0).cpu(),
        "at_source": values.masked_fill(~source, torch.inf).amin(dim=0).cpu(),
        "margin": layer.rounding_error(latents).to(values.dtype).cpu(),
    }


def others_are_nearer(records: Sequence[dict[str, Any]]) -> Tensor:
    """Return the prototypes (P,) for which some image is clearly nearer than the source, from all batches.

    A prototype that counts as absent from its source, whose value is infinite there, is nearer to any other.

    Example:
        >>> margin = torch.zeros(2)
        >>> one = {"smallest": torch.tensor([1.0, 4.0]), "at_source": torch.tensor([torch.inf, 4.0]), "margin": margin}
        >>> two = {"smallest": torch.tensor([2.0, 5.0]), "at_source": torch.tensor([2.0, torch.inf]), "margin": margin}
        >>> others_are_nearer([one, two])
        tensor([ True, False])
    """
    smallest, at_source = (
        torch.stack([record[name] for record in records]).amin(dim=0) for name in ("smallest", "at_source")
    )
    margin = torch.stack([record["margin"] for record in records]).amax(dim=0)
    limit = torch.where(at_source.isfinite(), at_source - margin - NEARER * at_source.abs(), torch.inf)
    return smallest < limit
