"""Other ways to prepare the images for a classifier that does not fit them: normalisations, crops, padding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resemblance.config.image import ImageSpec
from resemblance.convert.counting import accuracy, balanced, count, hidden_order, predict, stratified_sample
from resemblance.convert.original import Original
from resemblance.core.classifier import Normalize
from resemblance.data.dataset import ImageDataset
from resemblance.data.geometry import Preparation
from resemblance.data.loader import loader
from resemblance.data.sources.source import DataSplits, Source
from resemblance.data.spec import infer_image_spec
from resemblance.encoders.published import IMAGENET

PREPARATIONS = {
    "the middle of the images cut out": ("crop", 1.0),
    "the middle of the images cut out, at 87.5 %": ("crop", 0.875),  # torchvision: 224 of 256 pixels
    "padded images": ("pad", 1.0),
    "images whose sides are scaled on their own": ("squash", 1.0),
}


@dataclass(frozen=True)
class Alternative:
    """Images that fit the classifier better.

    Args:
        image: their size, normalisation and preparation.
        name: a description for the user.
        accuracy: the accuracy on them.
        balanced: the balanced accuracy.
        solution: the options that the user has to give.
    """

    image: ImageSpec
    name: str
    accuracy: float
    balanced: float
    solution: str


def better_images(
    original: Original, splits: DataSplits, source: Source, device: torch.device
) -> Alternative | None:
    """Return the usual way to prepare the images that is best, if it is good enough.

    Normalisations are tried first, then crops and padding with the given and with the best normalisation.

    Args:
        original: the classifier, on the device, in evaluation mode.
        splits: all images, for the mean and standard deviation of the training images.
        source: images to try; large ones are fewer.
        device: the device to compute on.
    """
    image = original.spec.image
    limit = max(2**26 // (image.channels * image.height * image.width), 32)
    source = stratified_sample(source, limit, 0)
    scales = _scales(image, splits)
    tried = list(_try(original, source, image, scales, device, ""))
    best = max(tried, key=lambda one: one.balanced, default=None)
    kept = [("", image.mean, image.std)]
    if best is not None:
        kept.append((best.name, best.image.mean, best.image.std))
    for title, (resize, share) in PREPARATIONS.items():
        other = replace(image, resize=resize, crop_share=share)
        if not _same(source, image, other):
            tried += _try(original, source, other, kept, device, title)
    best = max(tried, key=lambda one: one.balanced, default=None)
    present = int((np.bincount(source.labels) > 0).sum())
    return best if best is not None and best.balanced >= (1 + 1 / present) / 2 else None


def _try(
    original: Original,
    source: Source,
    image: ImageSpec,
    scales: list[tuple[str, tuple[float, ...], tuple[float, ...]]],
    device: torch.device,
    title: str,
) -> Iterator[Alternative]:
    """Measure the classifier on images with each normalisation, except for what the classifier has already."""
    given = original.spec.image
    batches = [(images, labels) for images, labels, _ in loader(ImageDataset(source, image), 64)]
    for name, mean, std in scales:
        same_scale = np.allclose((mean, std), (given.mean, given.std), atol=1e-3)
        if same_scale and not title:
            continue
        counts = _counts(original, batches, Normalize(mean, std).to(device), device)
        if counts is None:
            continue  # images on a scale that is far too large
        options = [] if same_scale else [f"--mean {_listed(mean)} --std {_listed(std)}"]
        if title:
            share = f" --crop-share {image.crop_share:g}" if image.crop_share != given.crop_share else ""
            options.append(f"--resize {image.resize}{share}")
        solution = f"give {' '.join(options)}"
        order = hidden_order(counts)
        if order is not None:
            counts = counts[:, order]
            solution = f"{solution} and {named_order(original, order).removeprefix('give ')}"
        names = [part for part in (title, "" if same_scale else name) if part]
        fitting = replace(image, mean=mean, std=std)
        yield Alternative(fitting, " and ".join(names), accuracy(counts), balanced(counts), solution)


def _counts(
    original: Original, batches: list[tuple[Tensor, Tensor]], normalize: Normalize, device: torch.device
) -> NDArray[np.int64] | None:
    """Return the counts of `counting.count`; None if an output is not finite."""
    counts = np.zeros((len(original.order),) * 2, np.int64)
    for images, labels in batches:
        predictions = predict(original.encoder, normalize(images.to(device)), original.order)
        if bool((predictions < 0).any()):
            return None
        counts += count(predictions, labels, len(counts))
    return counts


def _same(source: Source, image: ImageSpec, other: ImageSpec) -> bool:
    """Check whether both prepare all these images in the same way."""
    sizes = np.unique(source.shapes[:, :2], axis=0).tolist()
    pairs = [(Preparation.of(image, (h, w)), Preparation.of(other, (h, w))) for h, w in sizes]
    return all((one.scaled, one.offset) == (two.scaled, two.offset) for one, two in pairs)


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


def _listed(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:.6g}" for value in values)


def named_order(original: Original, order: NDArray[np.int64]) -> str:
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
