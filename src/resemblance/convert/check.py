"""Check whether a classifier fits the images: accuracy, order of the classes, preparation of the images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.config.runs import ConvertOptions
from resemblance.convert.alternatives import better_images, named_order
from resemblance.convert.counting import (
    Counts,
    accuracy,
    balanced,
    count,
    hidden_order,
    predict_logits,
    stratified_indices,
    stratified_sample,
)
from resemblance.convert.original import Original
from resemblance.core.classifier import Normalize
from resemblance.data.batch import Batch, EncodedBatch
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import loader
from resemblance.data.sources.source import DataSplits, Source, Subset
from resemblance.encoders.base import Encoder
from resemblance.encoders.fitting import RENAMED
from resemblance.encoders.probe import evaluating
from resemblance.training.cached.encoded_images import EncodedImages
from resemblance.training.devices.pool import map_over_devices

SAMPLE = 1000  # the number of training images in the sample
CLEARLY = 0.05  # the gain in balanced accuracy from which other images are said to fit better
TRIAL = 500  # the largest number of images on which other normalisations and crops are tried


@dataclass(frozen=True)
class Check:
    """The accuracy of the classifier before the conversion.

    Args:
        val: the accuracy on all validation images; None if there are none.
        train: the accuracy on a sample of training images.
        problem: the reason why it does not seem to fit, if the user forced the conversion; else empty.
    """

    val: float | None
    train: float
    problem: str = ""


def check(
    original: Original,
    splits: DataSplits,
    options: ConvertOptions,
    device: torch.device,
    kept: Callable[[Source], EncodedImages | None],
) -> Check | None:
    """Measure the classifier on validation images and on a sample of training images.

    If its accuracy is no better than chance, the cause is looked for: outputs in another order, or another
    normalisation of the images.

    Args:
        original: the classifier, on the device.
        splits: the images; the test images are not used.
        options: ``batch_size``, ``workers``, ``progress``; ``seed`` of the sample; with ``force``, problems are only
            reported.
        device: the device to compute on.
        kept: returns the embeddings of images, which are read here for the first time; None to read the images.

    Returns:
        The accuracies; None if the encoder has no classifier.

    Raises:
        UserError: if an output is infinite or NaN, if the accuracy is no better than chance, or if the classes are in
            another order; with the option that solves this, if there is one.
    """
    encoder, classes = original.encoder, original.spec.classes
    if encoder.num_classes is None:
        return None
    if encoder.num_classes != len(classes):
        raise UserError(
            f"{original.name} has {encoder.num_classes} outputs, but the data has {len(classes)} classes"
        )

    def measure(source: Source, title: str, indices: NDArray[np.int64] | None = None) -> Counts:
        part = source if indices is None or len(indices) == len(source) else Subset(source, indices)
        embedded = kept(source)
        batches = loader(ImageDataset(part, original.spec.image), options.batch_size, options.workers)
        found = batches if embedded is None else embedded.batches(options.batch_size, indices)
        return confusion(original, found, options, device, title)

    sample = stratified_indices(splits.train, SAMPLE, options.seed)
    with evaluating(encoder), torch.no_grad():
        on_val, problem = None, ""
        if len(splits.val):
            on_val = measure(splits.val, "measuring the black box")
            problem = _refuse(original, splits, on_val, device, options)
        on_train = measure(splits.train, "measuring the black box on training images", sample)
        if on_val is None:
            problem = _refuse(original, splits, on_train, device, options)
    return Check(None if on_val is None else accuracy(on_val), accuracy(on_train), problem)


def confusion(
    original: Original,
    batches: Iterable[Batch | EncodedBatch],
    options: ConvertOptions,
    device: torch.device,
    title: str,
) -> Counts:
    """Return (C, C) counts of images: one row per true class, one column per predicted class.

    Raises:
        UserError: if an output is infinite or NaN.
    """
    image, classes = original.spec.image, len(original.spec.classes)
    counts = np.zeros((classes, classes), np.int64)
    normalize = Normalize(image.mean, image.std).to(device)
    predicted = partial(_predicted, original.encoder, normalize, original.order)
    for predictions, labels in map_over_devices(predicted, batches, title, options.progress):
        if bool((predictions < 0).any()):
            settings = "" if original.fixed else ", and --mean and --std"
            raise UserError(
                f"{original.name} has outputs that are infinite or NaN; check its weights{settings}"
            )
        counts += count(predictions, labels, classes)
    return counts


def _predicted(
    encoder: Encoder, normalize: Normalize, order: Tensor, batch: Batch | EncodedBatch
) -> tuple[Tensor, Tensor]:
    inputs = batch[0].to(normalize.mean.device)
    logits = encoder.classify(inputs) if isinstance(batch, EncodedBatch) else encoder(normalize(inputs))
    return predict_logits(logits, order), batch.labels


def _refuse(
    original: Original, splits: DataSplits, counts: Counts, device: torch.device, options: ConvertOptions
) -> str:
    """Return the problem of the classifier, or refuse it, unless it is to be converted as it is."""
    problem = _find_problem(original, splits, counts, device, options.seed)
    if problem and not options.force:
        raise UserError(f"{problem}; or --force to convert it as it is")
    return problem


def _find_problem(
    original: Original, splits: DataSplits, counts: Counts, device: torch.device, seed: int
) -> str:
    """Return the problem of the classifier and its solution in one line; empty if there is no problem."""
    order = hidden_order(counts)
    measured = (
        f"{original.name} classifies {100 * accuracy(counts):.1f} % of the {counts.sum()} images correctly"
    )
    if order is not None:
        after = counts[np.arange(len(counts)), order].sum() / counts.sum()
        solution = named_order(original, order)
        return f"{measured}, but {100 * after:.1f} % with its classes in another order; {solution}"
    chance = 1 / int((counts.sum(axis=1) > 0).sum())
    recall = balanced(counts)
    if recall >= (1 + chance) / 2:
        return ""
    if not original.fixed:  # a model of this library has its images' preparation from its training
        source = splits.val if len(splits.val) else splits.train
        better = better_images(original, splits, stratified_sample(source, TRIAL, seed), device)
        if better is not None and better.balanced > recall + CLEARLY:
            return f"{measured}, but {100 * better.accuracy:.1f} % with {better.name}; {better.solution}"
    images = counts.sum(axis=1)
    noise = chance * float(np.sqrt((chance * (1 - chance) / images[images > 0]).sum()))  # of random guessing
    if recall > chance + 3 * noise + 0.05 * (1 - chance):
        return ""
    renamed = ", whose names differ from the encoder's" if RENAMED in original.encoder.description else ""
    causes = [f"the weights{renamed}", "the data", *([] if original.fixed else ["--image-size"])]
    tried = "neither another order of the classes nor a usual normalisation, crop or padding solves this"
    if original.fixed:
        tried = "another order of the classes does not solve this"
    return (
        f"{measured}, no better than chance ({100 * chance:.1f} % of each class); {tried}: check "
        f"{', '.join(causes[:-1])} and {causes[-1]}"
    )
