"""A linear probe: the classifier that a multinomial logistic regression finds on the embeddings of a frozen encoder.

It minimises, over weights W and biases b,

    mean over the images of −log softmax(W z + b)_label + λ/2 |W|²

to convergence, by L-BFGS in float64. λ is the largest of a grid whose loss in cross-validation on the training images
is within one standard error of the smallest (Breiman et al. 1984): few images cannot tell these apart, and the simpler
classifier errs less on others. Validation images are even fewer, and are left for choosing the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from torch import Tensor, nn

from resemblance.config.errors import UserError
from resemblance.core.class_weights import balanced_weights
from resemblance.core.classifier import Classifier
from resemblance.data.batch import Batch, EncodedBatch
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import loader
from resemblance.encoders.base import Encoder
from resemblance.training.devices.pool import map_over_devices
from resemblance.training.ends.actions import ActionContext, action
from resemblance.training.ends.passes import evaluating, training_images

Rows = NDArray[np.float64]
Labels = NDArray[np.int64]

PENALTIES = tuple(10.0**power for power in range(1, -8, -1))  # λ, for embeddings of mean square 1
FOLDS = 5
MANY = 5000  # images, above which one fold is left out instead of each in turn
RARE = 1e-6  # probability of a class that has no images


@dataclass(frozen=True)
class LinearProbe:
    """A linear classifier of embeddings.

    Args:
        weights: (C, E).
        bias: (C,).
        penalty: λ.
    """

    weights: Rows
    bias: Rows
    penalty: float


def fit_probe(
    embeddings: Rows, labels: Labels, classes: int, seed: int = 0, class_weights: Rows | None = None
) -> LinearProbe:
    """Fit a multinomial logistic regression to convergence, and choose its penalty by cross-validation.

    Args:
        embeddings: (N, E).
        labels: (N,).
        classes: C; a class without images gets a negligible probability.
        seed: the seed of the folds.
        class_weights: (C,), by which the loss of each image is multiplied; by default 1.

    Raises:
        UserError: if there are no images, or embeddings are infinite or NaN.

    Example:
        >>> probe = fit_probe(np.array([[0.0], [1.0], [4.0], [5.0]]), np.array([0, 0, 1, 1]), classes=2)
        >>> (np.array([[2.0], [3.0]]) @ probe.weights.T + probe.bias).argmax(axis=1)
        array([0, 1])
    """
    if not len(embeddings):
        raise UserError("there are no training images to fit a classifier on")
    if not np.isfinite(embeddings).all():
        raise UserError(
            "embeddings are infinite or NaN; check the encoder's weights and the images' mean and std"
        )
    embeddings = embeddings.astype(np.float64)
    centre = embeddings.mean(axis=0)
    centred = embeddings - centre
    scale = max(float(np.sqrt(np.square(centred).sum(axis=1).mean())), np.finfo(np.float64).tiny)
    basis = _basis(centred / scale)
    rows = centred / scale @ basis.T
    present = np.unique(labels)
    numbers = np.searchsorted(present, labels)
    weighted = None if class_weights is None else class_weights[labels]
    penalty = _chosen_penalty(rows, numbers, len(present), seed, weighted)
    found, bias = _minimum(rows, numbers, len(present), penalty, weighted)
    weights, biases = np.zeros((classes, embeddings.shape[1])), np.full(classes, np.log(RARE) + bias.min())
    weights[present] = found @ basis / scale
    biases[present] = bias - weights[present] @ centre
    return LinearProbe(weights, biases, penalty)


def _basis(rows: Rows) -> Rows:
    """Return an orthonormal basis (R, E) of the rows: W lies in their span, and few images span few dimensions."""
    if len(rows) >= rows.shape[1]:
        return np.eye(rows.shape[1])
    _, lengths, directions = np.linalg.svd(rows, full_matrices=False)
    basis: Rows = directions[lengths > 1e-10 * max(lengths.max(), 1e-300)]
    return basis


def _chosen_penalty(
    rows: Rows, labels: Labels, classes: int, seed: int, weighted: Rows | None = None
) -> float:
    """Return the largest λ whose mean loss on images that were left out is within a standard error of the smallest."""
    folds = _folds(labels, seed)
    left_out = range(FOLDS) if len(rows) <= MANY else range(1)
    losses: list[list[Rows]] = [[] for _ in PENALTIES]
    for fold in left_out:
        held = folds == fold
        if not held.any() or len(np.unique(labels[~held])) < classes:
            continue
        start = None
        for number, penalty in enumerate(PENALTIES):  # from the largest: each solution is near the one before
            weights, bias = _minimum(
                rows[~held],
                labels[~held],
                classes,
                penalty,
                None if weighted is None else weighted[~held],
                start,
            )
            start = weights, bias
            scores = rows[held] @ weights.T + bias
            chosen = scores[np.arange(len(scores)), labels[held]]
            losses[number].append(
                (logsumexp(scores, axis=1) - chosen) * (1.0 if weighted is None else weighted[held])
            )
    if not losses[0]:  # too few images to leave any out
        return 1e-3
    each = np.stack([np.concatenate(parts) for parts in losses])  # (penalties, images left out)
    means = each.mean(axis=1)
    best = int(means.argmin())
    error = each[best].std(ddof=1) / np.sqrt(each.shape[1]) if each.shape[1] > 1 else 0.0
    return PENALTIES[int((means <= means[best] + error).argmax())]


def _folds(labels: Labels, seed: int) -> Labels:
    """Deal the images of each class out to the folds, in a random order; the first fold of each class follows on."""
    generator, folds, dealt = np.random.default_rng(seed), np.zeros(len(labels), np.int64), 0
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        folds[members] = (dealt + np.arange(len(members))) % FOLDS
        dealt += len(members)
    return folds


def _minimum(
    rows: Rows,
    labels: Labels,
    classes: int,
    penalty: float,
    weighted: Rows | None = None,
    start: tuple[Rows, Rows] | None = None,
) -> tuple[Rows, Rows]:
    """Return the weights (C, R) and biases (C,) that minimise the penalised loss of images with weights (N,)."""
    images, dimensions = rows.shape
    truth = np.eye(classes)[labels]

    def loss_and_gradient(flat: Rows) -> tuple[float, Rows]:
        weights, bias = flat[classes:].reshape(classes, dimensions), flat[:classes]
        scores = rows @ weights.T + bias
        error = (softmax(scores, axis=1) - truth) / images
        if weighted is None:
            loss = (logsumexp(scores, axis=1).sum() - (scores * truth).sum()) / images
        else:
            loss = (weighted * (logsumexp(scores, axis=1) - (scores * truth).sum(axis=1))).sum() / images
            error *= weighted[:, None]
        gradient = np.concatenate([error.sum(axis=0), (error.T @ rows + penalty * weights).ravel()])
        return float(loss + penalty / 2 * np.square(weights).sum()), gradient

    first = np.zeros(classes * (dimensions + 1))
    if start is not None:
        first = np.concatenate([start[1], start[0].ravel()])
    options = {"maxiter": 5000, "maxfun": 20000, "maxcor": 20, "ftol": 1e-13, "gtol": 1e-7}
    flat: Rows = minimize(loss_and_gradient, first, jac=True, method="L-BFGS-B", options=options).x
    return flat[classes:].reshape(classes, dimensions), flat[:classes] - flat[:classes].mean()


@action("probe")
def probe(model: Classifier, context: ActionContext) -> None:
    """Set an encoder's linear classifier to the linear probe on its embeddings of the training images."""
    head = model.get_submodule("encoder.classifier")
    assert isinstance(head, nn.Linear)
    parts = [(rows.cpu().numpy(), labels.cpu().numpy()) for rows, labels in _embeddings(model, context)]
    embeddings = np.concatenate([rows for rows, _ in parts]).astype(np.float64)
    numbers = np.concatenate([labels for _, labels in parts])
    classes = model.spec.num_classes
    weights = balanced_weights(numbers, classes).double().numpy() if context.balanced else None
    fitted = fit_probe(embeddings, numbers, classes, context.seed, weights)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(fitted.weights))
        if head.bias is not None:
            head.bias.copy_(torch.from_numpy(fitted.bias))


def _embeddings(model: Classifier, context: ActionContext) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield what the classifier reads of the training images (B, E), and the labels (B,), batch by batch."""
    # Where the latents are the map, as for prototypes of patches, they do not hold what the classifier reads.
    images: Iterable[Batch | EncodedBatch]
    if model.trains_on_encoded:
        images = training_images(model, context)
    else:
        dataset = ImageDataset(context.train, model.spec.image)
        images = loader(dataset, context.batch_size, context.workers)
    with evaluating(model):
        yield from map_over_devices(partial(_embedded, model), images, "embedding", context.progress)


def _embedded(model: Classifier, batch: Batch | EncodedBatch) -> tuple[Tensor, Tensor]:
    encoder = model.get_submodule("encoder")
    assert isinstance(encoder, Encoder)
    inputs = batch[0].to(model.device)
    if not isinstance(batch, EncodedBatch):
        inputs = encoder.embed(encoder.features(model.normalize(inputs)))
    return inputs.float(), batch.labels
