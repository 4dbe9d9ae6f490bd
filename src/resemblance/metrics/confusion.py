"""Metrics of a confusion matrix: accuracy, precision, recall and F1 per class, and frequent mistakes.

A confusion matrix (C, C) counts images: one row per true class, one column per predicted class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_fscore_support


@dataclass(frozen=True)
class ClassFigures:
    """The metrics of one class: shares in [0, 1], NaN where there is nothing to divide by.

    Args:
        name: the name of the class.
        images: how many images belong to it.
        precision: the share of the images predicted as this class that belong to it.
        recall: the share of the images of this class that are predicted as this class.
        f1: the harmonic mean of both.
    """

    name: str
    images: int
    precision: float
    recall: float
    f1: float


def accuracy(confusion: NDArray[Any]) -> float:
    """Return the share of the images that are classified correctly; NaN without images.

    Example:
        >>> accuracy(np.array([[3, 1], [0, 4]]))
        0.875
    """
    images = int(confusion.sum())
    return float(np.trace(confusion) / images) if images else float("nan")


def class_figures(confusion: NDArray[Any], classes: Sequence[str]) -> list[ClassFigures]:
    """Compute precision, recall and F1 of each class.

    Args:
        confusion: (C, C) counts.
        classes: their names.

    Example:
        >>> [round(figures.recall, 2) for figures in class_figures(np.array([[3, 1], [0, 4]]), ["cat", "dog"])]
        [0.75, 1.0]
    """
    if not confusion.any():  # which scikit-learn refuses
        return [ClassFigures(name, 0, np.nan, np.nan, np.nan) for name in classes]
    true, predicted = np.indices(confusion.shape)
    columns = precision_recall_fscore_support(
        true.ravel(),
        predicted.ravel(),
        labels=np.arange(len(classes)),
        sample_weight=confusion.ravel(),  # each cell is so many images
        zero_division=np.nan,
    )
    images = confusion.sum(axis=1).tolist()
    precision, recall, f1 = (column.tolist() for column in columns[:3])
    return [ClassFigures(*row) for row in zip(classes, images, precision, recall, f1, strict=True)]


def frequent_confusions(
    confusion: NDArray[Any], classes: Sequence[str], count: int = 10
) -> list[tuple[str, str, int, float]]:
    """Return the most frequent mistakes: true class, predicted class, images, their share of the true class.

    Args:
        confusion: (C, C) counts.
        classes: their names.
        count: the largest number of mistakes to return.

    Example:
        >>> frequent_confusions(np.array([[3, 1], [0, 4]]), ["cat", "dog"])
        [('cat', 'dog', 1, 0.25)]
    """
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    pairs = [divmod(int(cell), len(classes)) for cell in order]
    totals = confusion.sum(axis=1)
    return [
        (classes[true], classes[guess], int(wrong[true, guess]), float(wrong[true, guess] / totals[true]))
        for true, guess in pairs
        if wrong[true, guess]
    ]
