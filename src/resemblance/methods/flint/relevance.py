"""Which reasons matter to which classes: relevance over the training images (Parekh et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.batch import Batch
from resemblance.training.ends.actions import ActionContext, action
from resemblance.training.ends.passes import evaluating, latents_of, training_images

FACTORS = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0)  # τ of the authors' conciseness curve


def local_relevance(contributions: Tensor) -> Tensor:
    """r_j = contribution_j / max_i |contribution_i| of each image, (B, R) in [−1, 1]; 0 where none contributes.

    Example:
        >>> local_relevance(torch.tensor([[2.0, -4.0, 0.0], [0.0, 0.0, 0.0]])).tolist()
        [[0.5, -1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    largest = contributions.abs().amax(dim=1, keepdim=True)
    return torch.where(largest > 0, contributions / largest, 0.0)


def concise(contributions: Tensor, factors: Sequence[float] = FACTORS) -> Tensor:
    """How many reasons of an image exceed 1/τ of its largest contribution, (B, T) for T factors τ.

    Example:
        >>> concise(torch.tensor([[4.0, 2.5, 1.0, -9.0]]), (1.5, 2.0, 5.0)).tolist()
        [[1, 2, 3]]
    """
    limits = contributions.amax(dim=1, keepdim=True) / contributions.new_tensor(list(factors))  # (B, T)
    return (contributions[:, :, None] > limits[:, None]).sum(dim=1)


def class_relevance(model: PrototypeModel, loader: Iterable[Batch], *, progress: bool = False) -> Tensor:
    """The mean local relevance of each reason to the images that are predicted as a class.

    Args:
        model: with the same reasons for every class.
        loader: un-augmented images.
        progress: whether to show a bar.

    Returns:
        (C, R) in [−1, 1]; 0 in the row of a class that no image is predicted as.
    """
    classes = model.spec.num_classes
    total: Tensor | None = None
    counts = torch.zeros(classes, device=model.device)
    with evaluating(model):
        for latents, _, _ in latents_of(model, loader, "relating", progress):
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
    found = class_relevance(model, training_images(model, context), progress=context.progress)
    buffer = model.get_buffer("relevance")
    buffer.copy_(found)
