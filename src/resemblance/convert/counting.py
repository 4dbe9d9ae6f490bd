"""Count the predictions of a classifier, and compare them with the true classes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from resemblance.data.sources.source import Source, Subset
from resemblance.encoders.build import Encoder

MOVED = 10  # the smallest number of images for which another order of the classes is considered
Counts = NDArray[np.int64]


def hidden_order(confusion: Counts) -> NDArray[np.int64] | None:
    """Return the output that belongs to each class if the outputs are in another order; None if they are not.

    The one-to-one assignment of outputs to classes with the highest accuracy is computed. It is returned if, of the
    images of the classes that it moves, it classifies at least 60 % correctly, and the given order at most 20 %.

    Args:
        confusion: (C, C) counts, one row per true class, one column per output.

    Example:
        >>> hidden_order(np.array([[1, 40, 1], [0, 1, 39], [41, 0, 2]])).tolist()
        [1, 2, 0]
        >>> hidden_order(np.array([[30, 10], [20, 20]])) is None
        True
    """
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    rows, outputs = linear_sum_assignment(shares + 1e-9 * np.eye(len(shares)), maximize=True)
    moved = (outputs != rows) & (confusion.sum(axis=1) > 0)
    images = confusion[moved].sum()
    if images < MOVED:
        return None
    before = np.diag(confusion)[moved].sum() / images
    after = confusion[moved, outputs[moved]].sum() / images
    return outputs.astype(np.int64) if before <= 0.2 and after >= 0.6 else None


def predict(encoder: Encoder, images: Tensor, order: Tensor) -> Tensor:
    """Return the predicted class of each normalised image, (B,), in main memory; −1 where an output is not finite."""
    return predict_logits(encoder(images), order)


def predict_logits(logits: Tensor, order: Tensor) -> Tensor:
    """Return the predicted class by each row of logits (B, K), as `predict` does."""
    logits = logits[:, order.to(logits.device)]
    return logits.argmax(dim=1).masked_fill(~logits.isfinite().all(dim=1), -1).cpu()


def count(predictions: Tensor, labels: Tensor, size: int) -> Counts:
    """Return (C, C) counts of images: one row per true class, one column per predicted class."""
    counts: Counts = torch.bincount(labels * size + predictions, minlength=size * size).numpy()
    return counts.reshape(size, size)


def accuracy(counts: Counts) -> float:
    """Return the share of the counts on the diagonal."""
    return float(np.trace(counts) / max(counts.sum(), 1))


def balanced(counts: Counts) -> float:
    """Return the balanced accuracy, the mean recall over classes; 1 / C for a constant prediction."""
    images = counts.sum(axis=1)
    return float((np.diag(counts)[images > 0] / images[images > 0]).mean())


def stratified_sample(source: Source, limit: int, seed: int) -> Source:
    """Return at most ``limit`` images, drawn evenly from the classes; all images if there are not more."""
    return source if len(source) <= limit else Subset(source, stratified_indices(source, limit, seed))


def stratified_indices(source: Source, limit: int, seed: int) -> NDArray[np.int64]:
    """Return the indices of the images of `stratified_sample`, ascending."""
    if len(source) <= limit:
        return np.arange(len(source))
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(source))
    labels = source.labels[order]
    ranks = np.empty(len(order), np.int64)  # the number of each image within its class
    for c in np.unique(labels):
        rows = np.flatnonzero(labels == c)
        ranks[rows] = np.arange(len(rows))
    return np.sort(order[np.argsort(ranks, kind="stable")[:limit]])
