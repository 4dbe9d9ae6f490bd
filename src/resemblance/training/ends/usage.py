"""Usage: count how often each prototype is used on the training images, and find where it comes from."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.batch import Batch, EncodedBatch
from resemblance.prototypes.maps import cell_boxes
from resemblance.training.ends.actions import ActionContext, action
from resemblance.training.ends.nearest import NearestPatches
from resemblance.training.ends.passes import evaluating, latents_of, training_images
from resemblance.training.ends.strongest import StrongestImages


class UsageCounts:
    """Running counts of how often each prototype is the most similar; ties go to the lowest index.

    Args:
        owners: (P, C) bool.

    Example:
        >>> usage = UsageCounts(torch.eye(2, dtype=torch.bool))
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

    def update(
        self,
        similarities: Tensor,
        labels: Tensor,
        cell_similarities: Tensor | None = None,
        used: Tensor | None = None,
    ) -> None:
        """Update with a batch.

        Args:
            similarities: (B, P).
            labels: (B,).
            cell_similarities: (B, P, cells), where cells vote: then an image uses a prototype if it is the most
                similar to any of the image's cells.
            used: (B, P) bool, where the method itself decides which prototypes an image uses.
        """
        own = self.owners.T[labels]
        choices = similarities[:, :, None] if cell_similarities is None else cell_similarities
        self.activations += _winners(choices) if used is None else used.sum(dim=0)
        self.own_activations += _winners(choices, own) if used is None else (used & own).sum(dim=0)
        self.total += similarities.sum(dim=0, dtype=self.total.dtype)
        self.images += len(labels)


def _winners(choices: Tensor, mask: Tensor | None = None) -> Tensor:
    """Count in how many images each column (P,) is the largest masked one of any cell; choices (B, P, cells)."""
    count = choices.shape[1]
    masked = choices if mask is None else choices.masked_fill(~mask[:, :, None], -torch.inf)
    first = masked.argmax(dim=1)  # (B, cells), the lowest index of equal ones
    if mask is not None:
        first = torch.where(mask.any(dim=1, keepdim=True), first, count)
    used = torch.zeros(len(choices), count + 1, dtype=torch.bool, device=choices.device)
    return used.scatter(1, first, True).sum(dim=0)[:count]


def count_usage(
    model: PrototypeModel, loader: Iterable[Batch | EncodedBatch], *, progress: bool = False
) -> None:
    """Count in one pass how the prototypes are used, and store the counts in ``model.prototypes``.

    All models get ``activations``, ``own_activations`` (−1 where no class owns the prototype) and
    ``mean_similarity``; where cells vote, an image uses each prototype that is the most similar to any of its cells.
    Models that do not project also get the provenance: the nearest image of the prototype's classes, with the cell of
    the map as its box. Where the trait ``sources`` is ``all`` or the prototype has no owner, it is the nearest of all
    images.

    Args:
        model: with prototypes.
        loader: the un-augmented training images.
        progress: whether to show a bar.

    Raises:
        UserError: if the model has no prototypes, there are no images, or scores or similarities are not finite.
    """
    if not isinstance(model, PrototypeModel):
        raise UserError(f"{model.name} has no prototypes whose usage could be counted")
    with evaluating(model):
        count_usage_of_latents(model, latents_of(model, loader, "counting usage", progress))


def count_usage_of_latents(
    model: PrototypeModel, latents_by_batch: Iterable[tuple[Tensor, Tensor, Tensor]]
) -> None:
    """Count usage from latents, labels and indices, batch by batch, as `passes.latents_of` yields them.

    Args:
        model: in evaluation mode, with prototypes.
        latents_by_batch: on the model's device; no gradient is needed.

    Raises:
        UserError: if there are no images, or scores or similarities are not finite.
    """
    prototypes = model.prototypes
    model.assign_owners()
    owners = prototypes.owners
    allowed = owners | ~owners.any(dim=1, keepdim=True) | (model.traits.sources == "all")
    usage = UsageCounts(owners)
    nearest = NearestPatches(prototypes) if prototypes.has_vectors else StrongestImages(prototypes)
    finite = torch.ones((), dtype=torch.bool, device=owners.device)  # read once, after the last batch
    for latents, labels, indices in latents_by_batch:
        output = model.head(latents)
        finite &= output.finite.all()
        votes = model.traits.score_kind == "votes"
        cell_similarities = prototypes.maps(latents).flatten(2) if votes else None
        usage.update(output.similarities, labels, cell_similarities, model.used_prototypes(output))
        if not model.traits.projects:
            if isinstance(nearest, StrongestImages):
                nearest.update(latents, allowed.T[labels], indices)
            else:
                nearest.update(latents, allowed.T[labels], indices, model.match_values(output))
    if usage.images == 0:
        raise UserError("there are no training images on which usage could be counted")
    if not bool(finite):
        raise UserError(
            "scores or similarities of training images are infinite or NaN: training has diverged; "
            "lower the learning rates"
        )
    prototypes.activations.copy_(usage.activations)
    prototypes.own_activations.copy_(usage.own_activations.masked_fill(~owners.any(dim=1), -1))
    prototypes.mean_similarity.copy_(usage.total / usage.images)
    if not model.traits.projects:
        size = model.spec.image.size
        boxes = prototypes.patch_boxes(nearest.cells, nearest.grid, size)
        if boxes is None:
            boxes = cell_boxes(nearest.cells, nearest.grid, size)
        if isinstance(nearest, StrongestImages):
            nearest.record(boxes)
        else:
            nearest.record(nearest.distances, boxes)


@action("usage")
def _count_usage(model: PrototypeModel, context: ActionContext) -> None:
    count_usage(model, training_images(model, context), progress=context.progress)
