"""Seeded, stratified splits, where the data has no splits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from resemblance.data.sources.grouped_split import grouped_split
from resemblance.data.sources.source import DataSplits, Source, Subset
from resemblance.data.text import listed

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

    Images of one group stay together.

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
        stay, held = _draw(train, TEST_FRACTION, TEST_SEED)
        notes += _notes(train, held, "test", "the same for every seed")
        train, test = Subset(train, stay), Subset(train, held)
    if val is None:
        stay, held = _draw(train, val_fraction, seed)
        notes += _notes(train, held, "validation", f"seed {seed}")
        train, val = Subset(train, stay), Subset(train, held)
    return DataSplits(train, val, test, train.classes, name, notes)


def _draw(train: Source, fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if train.groups is None:
        return stratified_split(train.labels, fraction, seed)
    return grouped_split(train.labels, train.groups, fraction, seed)


def _notes(train: Source, held: NDArray[np.int64], part: str, how: str) -> list[str]:
    """Describe a split by the share of each class that was taken; classes are small, so shares can differ."""
    if not len(held):
        whole = "" if train.groups is None else " and two groups"
        return [f"no {part} images: none can be split off, since no class has two images{whole} to train on"]
    images = np.bincount(train.labels, minlength=len(train.classes))
    taken = np.bincount(train.labels[held], minlength=len(images))
    shares = taken[images > 0] / images[images > 0]
    least, most = f"{shares.min():.0%}", f"{shares.max():.0%}"
    shown = least if least == most else f"{least} to {most}"
    whole = "" if train.groups is None else "whole groups, "
    notes = [
        f"{len(held)} {part} image{'s' if len(held) > 1 else ''} split off ({whole}{shown} of each class, {how})"
    ]
    without: Sequence[int] = np.flatnonzero((taken == 0) & (images > 0)).tolist()
    if without:
        names = listed([train.classes[label] for label in without])
        why = "one image" if train.groups is None else "one group, or groups that other classes need"
        notes.append(f"the {part} images that were split off have none of {names}: these have only {why}")
    return notes
