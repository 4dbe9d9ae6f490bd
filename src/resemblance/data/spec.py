"""Measure the images of a data set: size, channels, mean and deviation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.data.dataset import ImageDataset
from resemblance.data.progress import track
from resemblance.data.sources.source import DataSplits

SAMPLE = 10_000
CHUNK = 250 * 512 * 512  # pixels in memory at a time
LARGEST = 256
DEFAULT = 224


def infer_image_spec(
    splits: DataSplits,
    image_size: int | tuple[int, int] | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    channels: int | None = None,
    seed: int = 0,
    resize: str | None = None,
    crop_share: float | None = None,
    interpolation: str | None = None,
    draft: bool | None = None,
) -> ImageSpec:
    """Determine image size, channels and normalisation for a data set; given values are used as they are.

    The size is that of the images if all have the same size of at most 256 pixels, and 224 otherwise. If one image is
    RGB, all are read as RGB. Mean and deviation are measured per channel on at most 10,000 training images, without
    padding.

    Args:
        splits: the data; only training images are measured.
        image_size: pixels, one number or (height, width).
        mean: per channel, or one number for all.
        std: per channel, or one number for all.
        channels: 1 or 3.
        seed: the seed of the random sample.
        resize: see `ImageSpec`; by default ``squash``.
        crop_share: by default 1.
        interpolation: by default ``bilinear``.
        draft: whether large JPEGs are decoded at a fraction of their size; by default they are.

    Example:
        >>> from resemblance.data.open import open_data
        >>> spec = infer_image_spec(open_data("digits"))
        >>> spec.size, spec.channels, 0 < spec.mean[0] < 1
        ((32, 32), 1, True)
    """
    shapes = splits.train.shapes
    if image_size is None:
        sizes = np.unique(shapes[:, :2], axis=0)
        image_size = (
            (int(sizes[0, 0]), int(sizes[0, 1])) if len(sizes) == 1 and sizes.max() <= LARGEST else DEFAULT
        )
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    channels = channels or (3 if (shapes[:, 2] == 3).any() else 1)
    mean, std = expand(mean, channels, "mean"), expand(std, channels, "std")
    resize, interpolation = resize or "squash", interpolation or "bilinear"
    share = 1.0 if crop_share is None else crop_share
    draft = draft is None or draft
    if mean is None or std is None:
        zeros, ones = (0.0,) * channels, (1.0,) * channels
        raw = ImageSpec(height, width, channels, zeros, ones, resize, share, interpolation, draft=draft)
        if resize == "pad":
            raw = replace(raw, resize="squash", crop_share=1.0)
        measured_mean, measured_std = measure(splits, raw, seed)
        mean, std = mean or measured_mean, std or measured_std
    spec = ImageSpec(height, width, channels, mean, std, resize, share, interpolation)
    return replace(spec, window=splits.window, draft=draft)


def measure(
    splits: DataSplits, spec: ImageSpec, seed: int = 0
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Compute mean and standard deviation per channel over a sample of the training images, at the model's size."""
    count = len(splits.train)
    indices = np.arange(count)
    if count > SAMPLE:
        indices = np.sort(np.random.default_rng(seed).choice(count, SAMPLE, replace=False))
    dataset = ImageDataset(splits.train, spec)
    total, squares = np.zeros(spec.channels), np.zeros(spec.channels)
    step = max(min(250, CHUNK // (spec.height * spec.width)), 1)
    chunks = [indices[start : start + step] for start in range(0, len(indices), step)]
    for chunk in track(chunks, "measuring the images"):
        images = dataset.__getitems__(chunk.tolist()).images.double()
        total += images.sum(dim=(0, 2, 3)).numpy()
        squares += images.square().sum(dim=(0, 2, 3)).numpy()
    pixels = max(len(indices), 1) * spec.height * spec.width
    mean = total / pixels
    std = np.sqrt(np.maximum(squares / pixels - mean**2, 0))
    return tuple(round(float(m), 4) for m in mean), tuple(max(round(float(s), 4), 0.01) for s in std)


def expand(values: tuple[float, ...] | None, channels: int, name: str) -> tuple[float, ...] | None:
    """Return one value per channel, of as many values or of one for all; None of None.

    Args:
        values: of an option.
        channels: 1 or 3.
        name: the option, for the message.

    Raises:
        UserError: if there are too many or too few.

    Example:
        >>> expand((0.5,), 3, "mean"), expand(None, 3, "std")
        ((0.5, 0.5, 0.5), None)
    """
    if values is None:
        return None
    values = tuple(values)
    if len(values) not in (1, channels):
        raise UserError(f"--{name} has {len(values)} values for {channels}-channel images")
    return values * channels if len(values) == 1 else values
