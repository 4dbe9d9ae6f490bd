"""The accuracy of class means on a model's own encoder: what prototypes that nothing was trained for would reach."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import torch
from torch import Tensor

from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.batch import Batch, EncodedBatch
from resemblance.training.devices.pool import map_over_devices
from resemblance.training.ends.passes import evaluating

Batches = Iterable[Batch | EncodedBatch]


def compares_with_class_means(model: Classifier) -> bool:
    """Check for a model whose prototypes were trained on an encoder's map or embeddings, unlike KMEx's."""
    traits = model.traits
    return (
        isinstance(model, PrototypeModel)
        and model.encodes
        and (traits.maps or traits.projects)
        and (traits.score_kind != "votes")
    )


def class_means_accuracy(model: Classifier, train: Batches, test: Batches, progress: bool = False) -> float:
    """Compute the share of images whose embedding is nearest to the mean embedding of their class.

    This is KMEx with one prototype per class on the model's encoder. An embedding is the encoder's, or the mean of its
    map. Source: Gautam et al. 2024, section 3.

    Args:
        model: with the property ``encodes``.
        train: the images whose embeddings are averaged.
        test: the images that are classified.
        progress: whether to show a bar.

    Raises:
        ValueError: if there are no images to classify.
    """
    classes = model.spec.num_classes
    sums: Tensor | None = None
    counts = torch.zeros(classes, dtype=torch.float64)
    for embeddings, labels in _embeddings(model, train, progress):
        if sums is None:
            sums = torch.zeros(classes, embeddings.shape[1], dtype=torch.float64)
        sums.index_add_(0, labels, embeddings)
        counts += torch.bincount(labels, minlength=classes)
    correct, images = 0, 0
    for embeddings, labels in _embeddings(model, test, progress):
        assert sums is not None
        distances = (embeddings[:, None] - sums / counts[:, None].clamp_min(1)).square().sum(dim=2)
        nearest = distances.masked_fill(counts == 0, torch.inf).argmin(dim=1)
        correct += int((nearest == labels).sum())
        images += len(labels)
    if not images:
        raise ValueError("there are no images to classify")
    return correct / images


def _embeddings(model: Classifier, batches: Batches, progress: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield embeddings (B, E) in float64 and labels of each batch, in main memory: some devices lack float64."""
    return map_over_devices(partial(_embedded, model), batches, "averaging embeddings", progress)


def _embedded(model: Classifier, batch: Batch | EncodedBatch) -> tuple[Tensor, Tensor]:
    with evaluating(model):
        encoded = batch[0].to(model.device)
        encoded = encoded if isinstance(batch, EncodedBatch) else model.encode(encoded)
    embedding = encoded.flatten(2).mean(dim=2) if encoded.dim() > 2 else encoded
    return embedding.float().cpu().double(), batch.labels.cpu()
