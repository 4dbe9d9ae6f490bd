"""Where relevance begins: at the latents, by the shares that prototypes read there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from resemblance.core.prototype_model import PrototypeModel
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.relevance.lrp.tracking import NoRuleError

NUMBERS = 1 << 24  # of the latents that are shared out at once


def prototype_seed(model: PrototypeModel, latents: Any, which: Tensor, released: bool) -> Any:
    """Return relevance 1 for one prototype per image, ``which`` (B,), at the latents; a tuple for an ensemble."""
    ones = torch.ones(len(which), 1, device=which.device)
    return _shared(model, latents, which[:, None], ones, released)


def class_seed(model: PrototypeModel, latents: Any, classes: Tensor, released: bool) -> Any:
    """Return the relevance of the score of one class per image: each prototype has what it contributes.

    Contributions are what the ε rule gives in the head.

    Raises:
        NoRuleError: for reasons that are paths through a tree.
    """
    with torch.no_grad():
        evidence = model.evidence(model.head(latents), classes)
    if evidence.paths is not None:
        raise NoRuleError(
            "a path through a tree has no settled rule of relevance; ask for the map of a prototype"
        )
    return _shared(
        model, latents, evidence.prototypes.expand(len(classes), -1), evidence.contributions, released
    )


def _shared(model: PrototypeModel, latents: Any, which: Tensor, weights: Tensor, released: bool) -> Any:
    """Return the sum over prototypes ``which`` (B, R) of their shares, times ``weights`` (B, R)."""
    parts = []
    for first, layer, own in model.prototypes.components(latents):
        inside = (which >= first) & (which < first + len(layer)) & (weights != 0)
        rows, columns = inside.nonzero().T
        parts.append(_added(layer, own, rows, which[rows, columns] - first, weights[rows, columns], released))
    return parts[0] if isinstance(latents, Tensor) else tuple(parts)


def _added(
    layer: PrototypeLayer, latents: Tensor, rows: Tensor, which: Tensor, weights: Tensor, released: bool
) -> Tensor:
    """Add up the weighted shares of pairs of image and prototype, some at a time."""
    total = torch.zeros_like(latents)
    if len(rows) == 0:
        return total
    at_once = max(NUMBERS // max(latents[0].numel(), 1), 1)
    for row, prototype, weight in zip(
        *(torch.split(column, at_once) for column in (rows, which, weights)), strict=True
    ):
        try:
            shares = layer.shares(latents[row], prototype, released).to(total.dtype)
        except NotImplementedError as error:
            raise NoRuleError(str(error)) from error
        weight = weight.to(total.dtype).reshape(-1, *[1] * (total.dim() - 1))
        total.index_add_(0, row, shares * weight)
    return total
