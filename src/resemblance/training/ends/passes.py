"""Passes over images with a model in evaluation mode."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from resemblance.core.classifier import Classifier
from resemblance.data.batch import Batch, EncodedBatch
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import loader
from resemblance.encoders.probe import evaluating as evaluation_mode
from resemblance.training.devices.pool import map_over_devices
from resemblance.training.ends.actions import ActionContext


@contextmanager
def evaluating(model: Classifier) -> Iterator[None]:
    """Switch to evaluation mode without gradients; restore the mode of each module afterwards."""
    with evaluation_mode(model), torch.no_grad():
        yield


def latents_of(
    model: Classifier, loader: Iterable[Batch | EncodedBatch], title: str, progress: bool = False
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield latents (float32), labels and indices of each batch, on the model's device; for use in `evaluating`."""
    return map_over_devices(partial(_latents, model), loader, title, progress)


def _latents(model: Classifier, batch: Batch | EncodedBatch) -> tuple[Tensor, Tensor, Tensor]:
    inputs, labels, indices = (tensor.to(model.device, non_blocking=True) for tensor in batch)
    latents = model.refine(inputs) if isinstance(batch, EncodedBatch) else model.latents(inputs)
    return latents.float(), labels, indices


def training_images(model: Classifier, context: ActionContext) -> Iterable[Batch | EncodedBatch]:
    """Return the un-augmented training images in index order, for `latents_of`: images, or what is kept of them."""
    if context.encoded is not None:
        return context.encoded(context.batch_size)
    return loader(ImageDataset(context.train, model.spec.image), context.batch_size, context.workers)
