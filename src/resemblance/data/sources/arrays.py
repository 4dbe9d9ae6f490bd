"""Data sets of plain arrays, and scikit-learn's digits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resemblance.config.errors import UserError
from resemblance.data.sources.source import ArraySource, DataSplits
from resemblance.data.sources.split import complete

DIGITS = tuple("0123456789")


def array_source(
    images: NDArray[np.uint8], labels: NDArray[np.int64], classes: Sequence[str], prefix: str, shown: str
) -> ArraySource:
    """Check the labels (N,) of images (N, H, W, C) and return their source.

    Args:
        images: the pixels.
        labels: class numbers.
        classes: the class names.
        prefix: the prefix of the images' names.
        shown: the name of the file in messages.

    Raises:
        UserError: if the numbers of images and labels differ, or a label is not a class number.
    """
    if len(images) != len(labels):
        raise UserError(f"{shown}: {len(images)} {prefix} but {len(labels)} labels")
    if len(labels) and labels.max() >= len(classes):
        raise UserError(
            f"{shown}: label {labels.max()} for {prefix} #{labels.argmax()}; expected 0 to {len(classes) - 1}"
        )
    return ArraySource(images, labels, classes, prefix)


def open_digits(*, seed: int, val_fraction: float) -> DataSplits:
    """Open scikit-learn's 1,797 real handwritten digits, 8×8 pixels, scaled to 32×32."""
    from sklearn.datasets import load_digits

    stored = load_digits()
    small = np.round(stored.images * (255 / 16)).astype(np.uint8)
    images = np.stack(
        [np.asarray(Image.fromarray(i).resize((32, 32), Image.Resampling.BICUBIC)) for i in small]
    )
    source = ArraySource(images[..., None], stored.target.astype(np.int64), DIGITS, "digit")
    return complete({"train": source}, "digits", [], seed=seed, val_fraction=val_fraction, hold_test=True)
