"""The prototypes that an explanation shows first, for attacks on them."""

from __future__ import annotations

import torch
from torch import Tensor

from resemblance.audit.places.place_aims import Variant
from resemblance.audit.total_contributions import total_contributions
from resemblance.core.output import Output
from resemblance.core.prototype_model import PrototypeModel


def strongest(
    model: PrototypeModel, output: Output, classes: Tensor, count: int, variant: Variant = "paper"
) -> Tensor:
    """Return the prototypes with places that contribute most to a class, strongest first.

    Prototypes of other classes and those that contribute nothing are left out, since no explanation shows them as
    reasons for the class. A prototype of several reasons counts with their sum, and in a tree with that of the paths on
    which it is present. Of equal contributions, the more similar prototype comes first.

    Args:
        model: the model.
        output: its output for B images.
        classes: (B,) int64, usually the predicted classes.
        count: K, at most.
        variant: ``released`` orders all prototypes by similarity, as appendix F.1 says and the authors' code does.

    Returns:
        (B, K) int64; −1 where there are no more.
    """
    prototypes, similarities = model.prototypes, output.similarities
    placed = torch.cat(
        [torch.full((len(layer),), layer.has_maps) for _, layer, _ in prototypes.components(output.latents)]
    ).to(similarities.device)
    order = similarities.argsort(dim=1, descending=True, stable=True)
    if variant == "released":
        eligible = placed.expand_as(similarities)
    else:
        evidence = model.evidence(output, classes)
        contributions = total_contributions(evidence, len(prototypes))
        owners = prototypes.owners.to(similarities.device)
        own = (
            owners.T[classes] if evidence.paths is None else torch.ones_like(contributions, dtype=torch.bool)
        )
        own = torch.where(
            own.any(dim=1, keepdim=True), own, contributions > 0
        )  # no prototype belongs to a class
        eligible = placed & own & (contributions != 0)
        ranked = contributions.gather(1, order).argsort(dim=1, descending=True, stable=True)
        order = order.gather(1, ranked)
    first = eligible.gather(1, order).to(torch.uint8).argsort(dim=1, descending=True, stable=True)
    order = order.gather(1, first)[:, :count]
    return order.masked_fill(~eligible.gather(1, order), -1)


def similarity_rank(similarities: Tensor, which: Tensor) -> Tensor:
    """Return how many prototypes are more similar than the one at ``which``: (B, P) and (B,) → (B,) int64.

    Example:
        >>> similarity_rank(torch.tensor([[0.5, 2.0, 1.0]]), torch.tensor([2]))
        tensor([1])
    """
    return (similarities > similarities.gather(1, which[:, None])).sum(dim=1)
