"""Weights of classes, so that rare ones count as much as frequent ones."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F


def balanced_weights(labels: NDArray[np.int64], classes: int) -> Tensor:
    """Return the weight of each class: all images / (classes with images · images of the class), 1 without images.

    The mean weight of an image is 1. Source: King and Zeng 2001; ``class_weight="balanced"`` of scikit-learn.

    Args:
        labels: (N,).
        classes: C.

    Returns:
        (C,) float32.

    Example:
        >>> balanced_weights(np.array([0, 0, 0, 1]), 3)
        tensor([0.6667, 2.0000, 1.0000])
    """
    counts = np.bincount(labels, minlength=classes)
    present = counts > 0
    weights = np.ones(classes)
    weights[present] = len(labels) / (present.sum() * counts[present])
    return torch.from_numpy(weights).float()


def weighted_mean(losses: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean of the losses (B,) of images, each times the weight of its class.

    The sum is divided by the number of images and not by the sum of their weights, so that it does not matter how
    images are divided into batches.

    Example:
        >>> weighted_mean(torch.tensor([1.0, 4.0]), torch.tensor([0, 1]), torch.tensor([2.0, 0.5]))
        tensor(2.)
    """
    return losses.mean() if weights is None else (losses * weights.to(losses)[labels]).mean()


def weighted_cross_entropy(
    scores: Tensor, labels: Tensor, weights: Tensor | None, label_smoothing: float = 0.0
) -> Tensor:
    """Return the mean cross entropy of scores (B, C), each image times the weight of its class.

    Args:
        scores: (B, C), logits.
        labels: (B,).
        weights: (C,); None for the plain mean.
        label_smoothing: as in `torch.nn.functional.cross_entropy`.
    """
    if weights is None:
        return F.cross_entropy(scores, labels, label_smoothing=label_smoothing)
    losses = F.cross_entropy(scores, labels, label_smoothing=label_smoothing, reduction="none")
    return weighted_mean(losses, labels, weights)
