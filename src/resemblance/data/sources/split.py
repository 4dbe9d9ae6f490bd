"""Seeded, stratified splits, where the data has no splits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resemblance.data.sources.source import DataSplits, Source, Subset

TEST_FRACTION = 0.2
TEST_SEED = 0


def stratified_split(
    labels: NDArray[np.int64], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split off about ``fraction`` of each class.

    Of a class with two images or more, at least one stays and, unless ``fraction`` is 0, at least one is split off; a
    single image of a class stays. The result depends only on labels, fraction and seed.

    Args:
        labels: (N,).
        fraction: 0 to 1.
        seed: the seed of the random choice.

    Returns:
        The indices that stay and those that are split off, both in ascending order.

    Example:
        >>> stay, held = stratified_split(np.array([0, 0, 0, 0, 1, 1, 2]), 0.25, 0)
        >>> len(stay), len(held), 6 in stay
        (5, 2, True)
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    values, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    held = np.zeros(len(labels), dtype=bool)
    for _, start, count in zip(values, starts, counts, strict=True):
        take = min(max(round(fraction * count), 1), count - 1) if fraction > 0 else 0
        held[order[start : start + take]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def complete(
    sources: dict[str, Source],
    name: str,
    notes: list[str],
    *,
    seed: int,
    val_fraction: float,
    hold_test: bool,
) -> DataSplits:
    """Split missing validation and test images off the training images, by class, and add notes.

    Args:
        sources: ``train``, and ``val`` and ``test`` if the data has them.
        name: the name of the data.
        notes: the notes so far.
        seed: the seed of the validation split.
        val_fraction: share of the training images for validation.
        hold_test: whether to split off a test set, too, if there is none.
    """
    train, val, test = sources["train"], sources.get("val"), sources.get("test")
    notes = list(notes)
    if test is None and hold_test:
        # The same for every seed: no run, with another seed or based on another run, must train on test images.
        labels = train.labels
        stay, held = stratified_split(labels, TEST_FRACTION, TEST_SEED)
        train, test = Subset(train, stay), Subset(train, held)
        notes.append(_note(labels, held, "test", "the same for every seed"))
    if val is None:
        labels = train.labels
        stay, held = stratified_split(labels, val_fraction, seed)
        train, val = Subset(train, stay), Subset(train, held)
        notes.append(_note(labels, held, "validation", f"seed {seed}"))
    return DataSplits(train, val, test, train.classes, name, notes)


def _note(labels: NDArray[np.int64], held: NDArray[np.int64], part: str, how: str) -> str:
    """Describe a split by the share of each class that was taken; classes are small, so shares can differ."""
    if not len(held):
        return f"no {part} images: none can be split off, since no class has two images to train on"
    images = np.bincount(labels)
    taken = np.bincount(labels[held], minlength=len(images))[images > 0] / images[images > 0]
    least, most = f"{taken.min():.0%}", f"{taken.max():.0%}"
    shares = least if least == most else f"{least} to {most}"
    return f"{len(held)} {part} image{'s' if len(held) > 1 else ''} split off ({shares} of each class, {how})"
