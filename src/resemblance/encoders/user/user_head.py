"""The classifier of a user's network, as one linear layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resemblance.config.image import ImageSpec
from resemblance.encoders.trace import FoundHead
from resemblance.encoders.user.linear_calls import LinearCalls


def linear_head(head: FoundHead, layer: nn.Module | None, two: bool) -> nn.Linear:
    """Return a linear layer that computes what the network returns of its classifier.

    Args:
        head: the classifier.
        layer: its layer; None if it is a function.
        two: whether its one output z is to become the logits (0, z), or (z, 0) if that is its place.
    """
    weight, bias = _rows(head, layer)
    if two:
        order = [0, 1] if head.relation.second else [1, 0]
        weight, bias = (torch.cat([rows * 0, rows])[order] for rows in (weight, bias))
    linear = nn.Linear(weight.shape[1], len(weight)).to(weight)
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)
    return linear


def input_of_function(module: nn.Module, images: Tensor, number: int) -> dict[str, Tensor]:
    """Run a network, and return the input of its linear computation of this number as the embedding."""
    with LinearCalls(number) as calls:
        module(images)
    return {} if calls.embedding is None else {"embedding": calls.embedding}


def probe_images(module: nn.Module, image: ImageSpec) -> Tensor:
    """Return images whose outputs differ, so that what follows from what can be seen."""
    parameter = next(module.parameters(), torch.zeros(()))
    images = torch.randn(
        3, image.channels, *image.size, generator=torch.Generator().manual_seed(0), device="cpu"
    )
    return (images * torch.tensor([0.25, 0.5, 1.0], device="cpu")[:, None, None, None]).to(parameter)


def _rows(head: FoundHead, layer: nn.Module | None) -> list[Tensor]:
    """Return weight (K, E) and bias (K,) of a classifier, with the scale and shift that follow it."""
    weight, bias = head.call.weight.detach(), head.call.bias
    if isinstance(layer, nn.Linear | nn.Conv2d):  # after other weights were loaded
        weight, bias = layer.weight.detach().flatten(1), layer.bias
    bias = weight.new_zeros(len(weight)) if bias is None else bias.detach()
    shift = head.relation.shift.to(weight) if not weight.is_meta else torch.zeros_like(bias)
    return [head.relation.scale * weight, head.relation.scale * bias + shift]
