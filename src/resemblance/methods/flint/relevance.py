"""The relevance of reasons to classes, over the training images (Parekh et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.batch import Batch, EncodedBatch
from resemblance.training.ends.actions import ActionContext, action
from resemblance.training.ends.passes import evaluating, latents_of, training_images

FACTORS = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0)  # τ of the authors' conciseness curve


def local_relevance(contributions: Tensor) -> Tensor:
    """Compute r_j = contribution_j / max_i |contribution_i| of each image, (B, R) in [−1, 1]; 0 if all are 0.

    Example:
        >>> local_relevance(torch.tensor([[2.0, -4.0, 0.0], [0.0, 0.0, 0.0]])).tolist()
        [[0.5, -1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    largest = contributions.abs().amax(dim=1, keepdim=True)
    return torch.where(largest > 0, contributions / largest, 0.0)


def count_relevant(contributions: Tensor, factors: Sequence[float] = FACTORS) -> Tensor:
    """Count the reasons of each image that exceed 1/τ of its largest contribution, (B, T) for T factors τ.

    Example:
        >>> count_relevant(torch.tensor([[4.0, 2.5, 1.0, -9.0]]), (1.5, 2.0, 5.0)).tolist()
        [[1, 2, 3]]
    """
    limits = contributions.amax(dim=1, keepdim=True) / contributions.new_tensor(list(factors))  # (B, T)
    return (contributions[:, :, None] > limits[:, None]).sum(dim=1)


def class_relevance(
    model: PrototypeModel, loader: Iterable[Batch | EncodedBatch], *, progress: bool = False
) -> Tensor:
    """Compute the mean local relevance of each reason for the images that are predicted as a class.

    Args:
        model: a model with the same reasons for every class.
        loader: images without augmentation.
        progress: whether to show a progress bar.

    Returns:
        (C, R) in [−1, 1]; the row of a class that is never predicted is 0.
    """
    classes = model.spec.num_classes
    total: Tensor | None = None
    counts = torch.zeros(classes, device=model.device)
    with evaluating(model):
        for latents, _, _ in latents_of(model, loader, "computing relevances", progress):
            output = model.head(latents)
            predicted = output.scores.argmax(dim=1)
            relevance = local_relevance(model.evidence(output, predicted).contributions)
            if total is None:
                total = relevance.new_zeros(classes, relevance.shape[1])
            total.index_add_(0, predicted, relevance)
            counts += torch.bincount(predicted, minlength=classes)
    assert total is not None, "there are no images"
    return total / counts.clamp_min(1)[:, None]


@action("relevance")
def _relevance(model: PrototypeModel, context: ActionContext) -> None:
    relevance = class_relevance(model, training_images(model, context), progress=context.progress)
    model.get_buffer("relevance").copy_(relevance)
