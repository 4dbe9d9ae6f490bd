"""The meaning of concepts: the images in which each is strongest, and its mean contribution to each class."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.batch import Batch, EncodedBatch
from resemblance.training.ends.actions import ActionContext, action
from resemblance.training.ends.passes import evaluating, latents_of, training_images


def strongest(values: Tensor, indices: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the largest values of each column, and their indices; ties go to the lowest index.

    Args:
        values: (N, K).
        indices: (N, K) int64.
        count: how many to return.

    Returns:
        Values and indices (min(N, count), K), largest first.

    Example:
        >>> strongest(torch.tensor([[1.0], [3.0], [3.0]]), torch.tensor([[7], [9], [8]]), 2)[1].T
        tensor([[8, 9]])
    """
    order = indices.argsort(dim=0)
    values, indices = values.gather(0, order), indices.gather(0, order)
    order = values.argsort(dim=0, descending=True, stable=True)[:count]
    return values.gather(0, order), indices.gather(0, order)


def find_concepts(
    model: PrototypeModel, loader: Iterable[Batch | EncodedBatch], *, progress: bool = False
) -> None:
    """Find the strongest images and the mean contributions of all concepts, in one pass.

    Args:
        model: with one reason per prototype; the results are stored in it. Its prototypes have a buffer ``examples``
            (K, n), for the indices of the images in which each is strongest, and perhaps ``strengths`` (K, n), for
            the values there; the model has a buffer ``mean_contributions`` (C, K), for the mean contribution to a
            class's score over the images of the class.
        loader: the un-augmented training images.
        progress: whether to show a bar.
    """
    prototypes = model.prototypes
    examples, means = prototypes.get_buffer("examples"), model.get_buffer("mean_contributions")
    classes, concepts = means.shape
    wide = torch.float32 if model.device.type == "mps" else torch.float64
    sums = torch.zeros(classes, concepts, dtype=wide, device=model.device)
    images = torch.zeros(classes, dtype=wide, device=model.device)
    values = torch.empty(0, concepts, device=model.device)
    strongest_images = torch.empty(0, concepts, dtype=torch.int64, device=model.device)
    with evaluating(model):
        for latents, labels, indices in latents_of(model, loader, "finding concepts", progress):
            output = model.head(latents)
            sums.index_add_(0, labels, model.evidence(output, labels).contributions.to(wide))
            images += torch.bincount(labels, minlength=classes)
            values, strongest_images = strongest(
                torch.cat([values, output.similarities]),
                torch.cat([strongest_images, indices[:, None].expand(-1, concepts)]),
                examples.shape[1],
            )
        means.copy_(sums / images[:, None])
        examples.fill_(-1)[:, : len(strongest_images)] = strongest_images.T
        if "strengths" in dict(prototypes.named_buffers()):
            prototypes.get_buffer("strengths").fill_(torch.nan)[:, : len(strongest_images)] = values.T


@action("concepts")
def _concepts(model: PrototypeModel, context: ActionContext) -> None:
    find_concepts(model, training_images(model, context), progress=context.progress)
