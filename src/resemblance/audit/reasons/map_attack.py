"""Maps of prototypes with a gradient, so that an attack can move what they mark."""

from __future__ import annotations

import torch
from torch import Tensor

from resemblance.core.output import Output
from resemblance.core.prototype_model import PrototypeModel
from resemblance.prototypes.maps import percentile
from resemblance.relevance.gradients import NOISE, mean_colour, noise_of
from resemblance.relevance.similarity import default_kind, similarity_maps

TOP = 90.0  # per cent; what a map marks are the pixels above this percentile
COPIES = 4  # noisy copies by which the attack estimates SmoothGrad, which has 16


def above_zero(maps: Tensor, kind: str) -> Tensor:
    """Return maps (..., H, W) without what speaks against the prototype; similarities count from the lowest place.

    Example:
        >>> above_zero(torch.tensor([[[-3.0, -1.0]]]), "similarity"), above_zero(torch.tensor([[[-3.0, 1.0]]]), "prp")
        (tensor([[[0., 2.]]]), tensor([[[0., 1.]]]))
    """
    if kind == "similarity":
        return maps - maps.amin(dim=(-2, -1), keepdim=True)
    return maps.clamp_min(0)


def marked(maps: Tensor) -> Tensor:
    """Return the highest tenth of the pixels of maps (B, H, W), as bool; none for a map that is constant."""
    return maps > percentile(maps.flatten(1), TOP)[:, None, None]


def share_inside(maps: Tensor, mask: Tensor) -> Tensor:
    """Return the share of maps (B, H, W), not negative, that is inside of masks (B, H, W), (B,).

    Source: Ghorbani et al. 2019, the top-k attack.
    """
    return (maps * mask).sum(dim=(1, 2)) / maps.sum(dim=(1, 2)).clamp_min(1e-12)


def map_and_output(
    model: PrototypeModel, images: Tensor, which: Tensor, seed: int = 0
) -> tuple[Tensor, Output]:
    """Return the maps of prototypes with gradient, (B, H, W), not negative, and the model's output.

    The maps are of the kind that explanations show. For SmoothGrad, the gradient of the map is a second derivative: in
    networks of ReLUs it sees how the similarity depends on the embedding, but not the ReLUs that switch, so that an
    attack can miss changes that exist (Dombrowski et al. 2019 replace the ReLUs instead).

    Args:
        model: a model with prototypes, in evaluation mode.
        images: (B, C, H, W) in [0, 1].
        which: (B,) int64, the prototype of each image.
        seed: of SmoothGrad's noise.
    """
    kind = default_kind(model)
    if kind == "similarity":
        output = model(images)
        maps = similarity_maps(model, output, which[:, None], (images.shape[2], images.shape[3]))[:, 0]
        return above_zero(maps, kind), output
    further = torch.is_grad_enabled()
    with torch.enable_grad():
        if not images.requires_grad:
            images = images.detach().requires_grad_()
        flat = images.detach().flatten(1)
        deviation = NOISE * (flat.amax(dim=1) - flat.amin(dim=1))[:, None, None, None]
        noise = [noise_of(seed, copy, images.shape[1:]).to(images) for copy in range(COPIES)]
        copies = torch.cat([images + deviation * one for one in noise])
        values = model(copies).similarities.gather(1, which.repeat(COPIES)[:, None])
        (gradient,) = torch.autograd.grad(values.sum(), copies, create_graph=further)
        gradient = gradient.reshape(COPIES, *images.shape).mean(dim=0)
        maps = ((images - mean_colour(images)) * gradient).sum(dim=1)
    return above_zero(maps, kind), model(images)
