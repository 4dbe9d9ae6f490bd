"""Does a classifier know these images? If not: are its classes in another order, its images ill-scaled?"""

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

SAMPLE = 1000  # training images
TRIAL = 512  # images on which other normalisations are tried
MOVED = 10  # images that must speak for another order
Counts = NDArray[np.int64]
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Check:
    """What the classifier achieves before it is converted.

    Args:
        val: accuracy on all validation images; None without such images.
        train: accuracy on a sample of training images.
        doubt: why it does not seem to fit, where the user forced the conversion; else empty.
    """

    val: float | None
    train: float
    doubt: str = ""


def hidden_order(confusion: Counts) -> NDArray[np.int64] | None:
    """The output that each class answers to, where that is not its own; None if the outputs are in order.

    Looks for the one-to-one assignment of outputs to classes that gets most right. It counts as found if, on
    images of the classes that it moves, at least 60 % are right by it and at most 20 % without it.

    Args:
        confusion: (C, C) counts, a row a true class, a column an output.

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

    Where it answers by chance the cause is sought: outputs in another order, or images normalised otherwise.

    Args:
        original: on the device.
        splits: the test images are not looked at.
        options: ``batch_size``, ``workers``, ``progress``; ``seed``, which settles the sample; with ``force`` it never
            stops, and only says what is wrong.
        device: where to compute.

    Returns:
        None where there is no classifier to measure.

    Raises:
        UserError: if it answers by chance or its classes are in another order; with the cure, if found.
    """
    encoder, image, classes = original.encoder, original.spec.image, original.spec.classes
    if encoder.num_classes is None:
        return None
    if encoder.num_classes != len(classes):
        raise UserError(
            f"{original.name} has {encoder.num_classes} outputs, but the data have {len(classes)} classes"
        )

    def confusion(source: Source, title: str) -> Counts:
        batches = loader(ImageDataset(source, image), options.batch_size, options.workers)
        counts = np.zeros((len(classes), len(classes)), np.int64)
        normalize = Normalize(image.mean, image.std).to(device)
        for images, labels, _ in track(batches, title, options.progress):
            counts += _count(encoder, normalize(images.to(device)), labels, original.order)
        return counts

    with evaluating(encoder), torch.no_grad():
        sample = stratified(splits.train, SAMPLE, options.seed)
        on_train = confusion(sample, "measuring the black box on training images")
        on_val = confusion(splits.val, "measuring the black box") if len(splits.val) else None
        counts = on_train if on_val is None else on_val
        doubt = _doubt(original, splits, counts, device, options.seed)
    if doubt and not options.force:
        raise UserError(f"{doubt}; or --force to convert it as it is")
    return Check(None if on_val is None else accuracy(on_val), accuracy(on_train), doubt)


def _doubt(original: Original, splits: DataSplits, counts: Counts, device: torch.device, seed: int) -> str:
    """What is wrong and what to do about it, in a line; empty if nothing is."""
    right, order = accuracy(counts), hidden_order(counts)
    measured = f"{original.name} tells {100 * right:.1f} % of the {counts.sum()} images rightly"
    if order is not None:
        after = counts[np.arange(len(counts)), order].sum() / counts.sum()
        cure = _cure(original, order)
        return f"{measured}, but {100 * after:.1f} % with its classes in another order; {cure}"
    chance = 1 / int((counts.sum(axis=1) > 0).sum())
    balanced = _balanced(counts)
    if balanced >= (1 + chance) / 2:
        return ""
    if not isinstance(original.encoder, ModelEncoder):
        source = splits.val if len(splits.val) else splits.train
        found = _better_scale(original, splits, stratified(source, TRIAL, seed), device)
        if found is not None:
            what, after, cure = found
            return f"{measured}, but {100 * after:.1f} % with {what}; {cure}"
    images = counts.sum(axis=1)
    noise = chance * float(np.sqrt((chance * (1 - chance) / images[images > 0]).sum()))  # of a guess
    if balanced > chance + 3 * noise + 0.05 * (1 - chance):
        return ""
    return (
        f"{measured}, no better than chance ({100 * chance:.1f} % of each class); neither another order of "
        "the classes nor a usual normalisation cures it: check the weights, the data and --image-size"
    )


def _cure(original: Original, order: NDArray[np.int64]) -> str:
    """The option that puts the outputs in order."""
    classes = original.spec.classes
    by_output = [""] * len(classes)
    for c, told in enumerate(order):
        by_output[int(original.order[told])] = classes[c]
    if len(classes) <= 30 and not any("," in name for name in classes):
        listed = ",".join(by_output)
        return f"give --classes {listed!r}" if " " in listed else f"give --classes {listed}"
    before = {output: classes[c] for c, output in enumerate(original.order.tolist())}
    moved = [f"output {i} is {name}" for i, name in enumerate(by_output) if name != before[i]]
    return (
        f"{', '.join(moved[:5])}{', …' if len(moved) > 5 else ''}: "
        "give --classes FILE, with the class of each output on a line"
    )


def _better_scale(
    original: Original, splits: DataSplits, source: Source, device: torch.device
) -> tuple[str, float, str] | None:
    """The usual normalisation that suits the classifier best, if it is good with it: name, accuracy, cure."""
    image = original.spec.image
    limit = max(2**26 // (image.channels * image.height * image.width), 32)
    batches = loader(ImageDataset(stratified(source, limit, 0), image), 64)
    held = [(images, labels) for images, labels, _ in batches]
    best: tuple[float, str, float, str] | None = None
    for what, mean, std in _scales(image, splits):
        if np.allclose((mean, std), (image.mean, image.std), atol=1e-3):
            continue
        normalize = Normalize(mean, std).to(device)
        counts = np.zeros((len(original.order),) * 2, np.int64)
        for images, labels in held:
            counts += _count(original.encoder, normalize(images.to(device)), labels, original.order)
        cure = f"give --mean {_listed(mean)} --std {_listed(std)}"
        order = hidden_order(counts)
        if order is not None:
            counts, cure = counts[:, order], f"{cure} and {_cure(original, order).removeprefix('give ')}"
        if best is None or _balanced(counts) > best[0]:
            best = _balanced(counts), what, accuracy(counts), cure
    if best is None:
        return None
    present = int((np.bincount(source.labels) > 0).sum())
    return best[1:] if best[0] >= (1 + 1 / present) / 2 else None


def _scales(image: ImageSpec, splits: DataSplits) -> list[tuple[str, tuple[float, ...], tuple[float, ...]]]:
    """The usual ways to scale images in [0, 1]: name, mean and deviation."""
    n = image.channels
    data = infer_image_spec(splits, image.size, None, None, channels=n)
    found = [
        ("values from 0 to 1", (0.0,) * n, (1.0,) * n),
        ("values from -1 to 1", (0.5,) * n, (0.5,) * n),
        ("values from 0 to 255", (0.0,) * n, (1 / 255,) * n),
        ("the mean and deviation of the training images", data.mean, data.std),
    ]
    if n == 3:
        found.insert(0, ("ImageNet's mean and deviation", *IMAGENET))
        found.append(("values from 0 to 255 less ImageNet's mean", IMAGENET[0], (1 / 255,) * 3))
    return found


def _count(encoder: Encoder, images: Tensor, labels: Tensor, order: Tensor) -> Counts:
    """(C, C) counts of normalised images: a row a true class, a column the class told."""
    told = encoder(images)[:, order.to(images.device)].argmax(dim=1).cpu()
    size = len(order)
    counts: Counts = torch.bincount(labels * size + told, minlength=size * size).reshape(size, size).numpy()
    return counts


def accuracy(counts: Counts) -> float:
    """The share on the diagonal."""
    return float(np.trace(counts) / max(counts.sum(), 1))


def _balanced(counts: Counts) -> float:
    """The mean over classes of the share told rightly; 1 / C for a constant answer."""
    images = counts.sum(axis=1)
    return float((np.diag(counts)[images > 0] / images[images > 0]).mean())


def _listed(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:.6g}" for value in values)


def stratified(source: Source, limit: int, seed: int) -> Source:
    """At most ``limit`` images, drawn evenly from the classes; all images if there are no more."""
    if len(source) <= limit:
        return source
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(source))
    labels = source.labels[order]
    ranks = np.empty(len(order), np.int64)  # the how-manieth of its class each image is
    for c in np.unique(labels):
        rows = np.flatnonzero(labels == c)
        ranks[rows] = np.arange(len(rows))
    return Subset(source, np.sort(order[np.argsort(ranks, kind="stable")[:limit]]))
