"""Survey: how much each prototype is used on the training images, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.core.maps import cell_boxes
from resemblance.core.model import Model
from resemblance.data.batch import Batch
from resemblance.training.actions import ActionContext, action
from resemblance.training.nearest import Nearest
from resemblance.training.passes import evaluating, latents_of, training_images


class Usage:
    """Running counts of how often each prototype is the most similar one; ties go to the lowest index.

    Args:
        owners: (P, C) bool.

    Example:
        >>> usage = Usage(torch.eye(2, dtype=torch.bool))
        >>> usage.update(torch.tensor([[0.9, 0.1], [0.8, 0.2]]), torch.tensor([0, 1]))
        >>> usage.activations.tolist(), usage.own_activations.tolist()
        ([2, 0], [1, 1])
    """

    def __init__(self, owners: Tensor) -> None:
        self.owners = owners
        count, device = len(owners), owners.device
        self.images = 0
        self.activations = torch.zeros(count, dtype=torch.int64, device=device)
        self.own_activations = torch.zeros(count, dtype=torch.int64, device=device)
        wide = torch.float32 if device.type == "mps" else torch.float64
        self.total = torch.zeros(count, dtype=wide, device=device)

    def update(self, similarities: Tensor, labels: Tensor) -> None:
        """Take a batch into account: similarities (B, P), labels (B,)."""
        own = self.owners.T[labels]
        self.activations += _winners(similarities, torch.ones_like(own))
        self.own_activations += _winners(similarities, own)
        self.total += similarities.to(self.total.dtype).sum(dim=0)
        self.images += len(labels)


def _winners(similarities: Tensor, mask: Tensor) -> Tensor:
    """How often each column (P,) is the largest of the masked ones in its row."""
    count = similarities.shape[1]
    masked = similarities.masked_fill(~mask, -torch.inf)
    positions = torch.arange(count, device=mask.device)
    largest = (masked == masked.amax(dim=1, keepdim=True)) & mask
    first = torch.where(largest, positions, count).amin(dim=1)
    return torch.bincount(first, minlength=count + 1)[:count]


def survey(model: Model, loader: Iterable[Batch], *, progress: bool = False) -> None:
    """Count in one pass how the prototypes are used, and leave it in ``model.prototypes``.

    ``activations``, ``own_activations`` (−1 where no class owns the prototype) and ``mean_similarity`` of all
    models; of those that do not project also the provenance: the nearest image of the prototype's classes,
    or of all where it has none, with the cell of the map as its box.

    Args:
        model: with prototypes.
        loader: the un-augmented training images.
        progress: whether to show a bar.

    Raises:
        UserError: for a model without prototypes, or without images.
    """
    prototypes = model.prototypes
    if prototypes is None:
        raise UserError(f"{model.name} has no prototypes to survey")
    with evaluating(model):
        model.assign_owners()
        owners = prototypes.owners
        sought = owners | ~owners.any(dim=1, keepdim=True)
        usage, nearest = Usage(owners), Nearest(model)
        for latents, labels, indices in latents_of(model, loader, "counting", progress):
            output = model.head(latents)
            assert output.similarities is not None
            usage.update(output.similarities, labels)
            if not model.projects:
                nearest.update(latents, sought.T[labels], indices)
        if usage.images == 0:
            raise UserError("there are no training images to survey")
        prototypes.activations.copy_(usage.activations)
        prototypes.own_activations.copy_(usage.own_activations.masked_fill(~owners.any(dim=1), -1))
        prototypes.mean_similarity.copy_(usage.total / usage.images)
        if not model.projects:
            boxes = cell_boxes(nearest.cells, nearest.grid, model.spec.image.size)
            nearest.record(nearest.distances, boxes)


@action("survey")
def _survey(model: Model, context: ActionContext) -> None:
    survey(model, training_images(model, context), progress=context.progress)
