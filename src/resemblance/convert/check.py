"""Check whether a classifier fits the images: its accuracy, the order of its classes, and the normalisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.runs import ConvertOptions
from resemblance.convert.original import Original
from resemblance.core.classifier import Normalize
from resemblance.core.model_encoder import ModelEncoder
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import loader
from resemblance.data.progress import track
from resemblance.data.sources.source import DataSplits, Source, Subset
from resemblance.data.spec import infer_image_spec
from resemblance.encoders.build import Encoder
from resemblance.encoders.probe import evaluating

SAMPLE = 1000  # the number of training images in the sample
TRIAL = 512  # the number of images on which other normalisations are tried
MOVED = 10  # the smallest number of images for which another order of the classes is considered
Counts = NDArray[np.int64]
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


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


def check(
    original: Original, splits: DataSplits, options: ConvertOptions, device: torch.device
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

    Returns:
        The accuracies; None if the encoder has no classifier.

    Raises:
        UserError: if an output is infinite or NaN, if the accuracy is no better than chance, or if the classes are in
            another order; with the option that solves this, if there is one.
    """
    encoder, image, classes = original.encoder, original.spec.image, original.spec.classes
    if encoder.num_classes is None:
        return None
    if encoder.num_classes != len(classes):
        raise UserError(
            f"{original.name} has {encoder.num_classes} outputs, but the data has {len(classes)} classes"
        )

    def confusion(source: Source, title: str) -> Counts:
        batches = loader(ImageDataset(source, image), options.batch_size, options.workers)
        counts = np.zeros((len(classes), len(classes)), np.int64)
        normalize = Normalize(image.mean, image.std).to(device)
        for images, labels, _ in track(batches, title, options.progress):
            predictions = _predict(encoder, normalize(images.to(device)), original.order)
            if bool((predictions < 0).any()):
                raise UserError(
                    f"{original.name} has outputs that are infinite or NaN; check its weights, and --mean and --std"
                )
            counts += _count(predictions, labels, len(classes))
        return counts

    with evaluating(encoder), torch.no_grad():
        sample = stratified_sample(splits.train, SAMPLE, options.seed)
        on_train = confusion(sample, "measuring the black box on training images")
        on_val = confusion(splits.val, "measuring the black box") if len(splits.val) else None
        counts = on_train if on_val is None else on_val
        problem = _find_problem(original, splits, counts, device, options.seed)
    if problem and not options.force:
        raise UserError(f"{problem}; or --force to convert it as it is")
    return Check(None if on_val is None else accuracy(on_val), accuracy(on_train), problem)


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
        solution = _solution(original, order)
        return f"{measured}, but {100 * after:.1f} % with its classes in another order; {solution}"
    chance = 1 / int((counts.sum(axis=1) > 0).sum())
    balanced = _balanced(counts)
    if balanced >= (1 + chance) / 2:
        return ""
    if not isinstance(original.encoder, ModelEncoder):
        source = splits.val if len(splits.val) else splits.train
        better = _better_scale(original, splits, stratified_sample(source, TRIAL, seed), device)
        if better is not None:
            scale, after, solution = better
            return f"{measured}, but {100 * after:.1f} % with {scale}; {solution}"
    images = counts.sum(axis=1)
    noise = chance * float(np.sqrt((chance * (1 - chance) / images[images > 0]).sum()))  # of random guessing
    if balanced > chance + 3 * noise + 0.05 * (1 - chance):
        return ""
    return (
        f"{measured}, no better than chance ({100 * chance:.1f} % of each class); neither another order of "
        "the classes nor a usual normalisation solves this: check the weights, the data and --image-size"
    )


def _solution(original: Original, order: NDArray[np.int64]) -> str:
    """Return the option that gives the order of the outputs."""
    classes = original.spec.classes
    by_output = [""] * len(classes)
    for c, output in enumerate(order):
        by_output[int(original.order[output])] = classes[c]
    if len(classes) <= 30 and not any("," in name for name in classes):
        listed = ",".join(by_output)
        return f"give --classes {listed!r}" if " " in listed else f"give --classes {listed}"
    before = {output: classes[c] for c, output in enumerate(original.order.tolist())}
    moved = [f"output {i} is {name}" for i, name in enumerate(by_output) if name != before[i]]
    return (
        f"{', '.join(moved[:5])}{', …' if len(moved) > 5 else ''}: "
        "give --classes FILE with one line per output, its class"
    )


def _better_scale(
    original: Original, splits: DataSplits, source: Source, device: torch.device
) -> tuple[str, float, str] | None:
    """Return the name, accuracy and options of the best usual normalisation, if its accuracy is good enough."""
    image = original.spec.image
    limit = max(2**26 // (image.channels * image.height * image.width), 32)
    batches = [
        (images, labels)
        for images, labels, _ in loader(ImageDataset(stratified_sample(source, limit, 0), image), 64)
    ]
    best: tuple[float, str, float, str] | None = None
    for name, mean, std in _scales(image, splits):
        if np.allclose((mean, std), (image.mean, image.std), atol=1e-3):
            continue
        normalize = Normalize(mean, std).to(device)
        counts = np.zeros((len(original.order),) * 2, np.int64)
        predictions = [
            _predict(original.encoder, normalize(images.to(device)), original.order) for images, _ in batches
        ]
        if any(bool((part < 0).any()) for part in predictions):
            continue  # images on a scale that is far too large
        for part, (_, labels) in zip(predictions, batches, strict=True):
            counts += _count(part, labels, len(counts))
        solution = f"give --mean {_listed(mean)} --std {_listed(std)}"
        order = hidden_order(counts)
        if order is not None:
            counts = counts[:, order]
            solution = f"{solution} and {_solution(original, order).removeprefix('give ')}"
        if best is None or _balanced(counts) > best[0]:
            best = _balanced(counts), name, accuracy(counts), solution
    if best is None:
        return None
    present = int((np.bincount(source.labels) > 0).sum())
    return best[1:] if best[0] >= (1 + 1 / present) / 2 else None


def _scales(image: ImageSpec, splits: DataSplits) -> list[tuple[str, tuple[float, ...], tuple[float, ...]]]:
    """Return the usual ways to scale images in [0, 1]: name, mean and standard deviation."""
    n = image.channels
    data = infer_image_spec(splits, image.size, None, None, channels=n)
    scales = [
        ("values from 0 to 1", (0.0,) * n, (1.0,) * n),
        ("values from -1 to 1", (0.5,) * n, (0.5,) * n),
        ("values from 0 to 255", (0.0,) * n, (1 / 255,) * n),
        ("the mean and standard deviation of the training images", data.mean, data.std),
    ]
    if n == 3:
        scales.insert(0, ("ImageNet's mean and standard deviation", *IMAGENET))
        scales.append(("values from 0 to 255 minus ImageNet's mean", IMAGENET[0], (1 / 255,) * 3))
    return scales


def _predict(encoder: Encoder, images: Tensor, order: Tensor) -> Tensor:
    """Return the predicted class of each normalised image, (B,), in main memory; −1 where an output is not finite."""
    logits: Tensor = encoder(images)[:, order.to(images.device)]
    return logits.argmax(dim=1).masked_fill(~logits.isfinite().all(dim=1), -1).cpu()


def _count(predictions: Tensor, labels: Tensor, size: int) -> Counts:
    """Return (C, C) counts of images: one row per true class, one column per predicted class."""
    counts: Counts = torch.bincount(labels * size + predictions, minlength=size * size).numpy()
    return counts.reshape(size, size)


def accuracy(counts: Counts) -> float:
    """Return the share of the counts on the diagonal."""
    return float(np.trace(counts) / max(counts.sum(), 1))


def _balanced(counts: Counts) -> float:
    """Return the balanced accuracy, the mean recall over classes; 1 / C for a constant prediction."""
    images = counts.sum(axis=1)
    return float((np.diag(counts)[images > 0] / images[images > 0]).mean())


def _listed(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:.6g}" for value in values)


def stratified_sample(source: Source, limit: int, seed: int) -> Source:
    """Return at most ``limit`` images, drawn evenly from the classes; all images if there are not more."""
    if len(source) <= limit:
        return source
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(source))
    labels = source.labels[order]
    ranks = np.empty(len(order), np.int64)  # the number of each image within its class
    for c in np.unique(labels):
        rows = np.flatnonzero(labels == c)
        ranks[rows] = np.arange(len(rows))
    return Subset(source, np.sort(order[np.argsort(ranks, kind="stable")[:limit]]))
