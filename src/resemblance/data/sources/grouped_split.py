"""Splits that keep groups of images, such as those of a patient, together."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from resemblance.data.sources.source import Source
from resemblance.data.text import listed


def grouped_split(
    labels: NDArray[np.int64], groups: NDArray[np.int64], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split off whole groups, so that about ``fraction`` of each class is split off.

    Groups are visited in a random order, and each is split off if that brings the shares of its classes closer to
    ``fraction``, and every class keeps images. A class of several groups of which none was split off then gives its
    smallest one, if every class keeps images. The result depends only on the arguments.

    Args:
        labels: (N,).
        groups: (N,) the number of each image's group; an image with -1 is a group of its own.
        fraction: 0 to 1.
        seed: the seed of the random order.

    Returns:
        The indices that stay and those that are split off, both in ascending order.

    Example:
        >>> labels, groups = np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([5, 5, 6, 7, 6, 8, 8, 9])
        >>> stay, held = grouped_split(labels, groups, 0.25, 0)
        >>> set(groups[stay]) & set(groups[held]), len(set(labels[held]))
        (set(), 2)
    """
    groups = np.where(groups < 0, len(groups) + np.arange(len(groups)) + groups.max(initial=0), groups)
    _, numbers = np.unique(groups, return_inverse=True)
    counts = np.bincount(labels)
    count = int(numbers.max(initial=-1)) + 1
    held, taken = np.zeros(count, dtype=bool), np.zeros(len(counts), dtype=np.int64)
    by_group = np.argsort(numbers, kind="stable")
    ends = np.searchsorted(numbers[by_group], np.arange(count + 1))
    members = [np.unique(labels[by_group[a:b]], return_counts=True) for a, b in pairwise(ends.tolist())]
    wanted = np.where((counts > 1) & (fraction > 0), np.maximum(fraction * counts, 1.0), 0.0)
    for number in np.random.default_rng(seed).permutation(count):
        classes, sizes = members[number]
        off = np.abs(taken[classes] + sizes - wanted[classes]) - np.abs(taken[classes] - wanted[classes])
        stays = counts[classes] - taken[classes] - sizes > 0
        if (off / counts[classes]).sum() < 0 and stays.all():
            held[number] = True
            taken[classes] += sizes
    _give_to_classes_without(members, held, taken, counts, wanted)
    split_off = held[numbers]
    return np.flatnonzero(~split_off), np.flatnonzero(split_off)


def _give_to_classes_without(
    members: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
    held: NDArray[np.bool_],
    taken: NDArray[np.int64],
    counts: NDArray[np.int64],
    wanted: NDArray[np.float64],
) -> None:
    """Split off the smallest possible group of each class of which none was split off."""
    without = set(np.flatnonzero((taken == 0) & (wanted > 0)).tolist())
    by_class: dict[int, list[tuple[int, int]]] = {label: [] for label in without}
    for number, (classes, sizes) in enumerate(members):
        for label in without.intersection(classes.tolist()) if without else ():
            by_class[label].append((int(sizes.sum()), number))
    for label in sorted(without):
        for _, number in sorted(by_class[label]) if not taken[label] else ():
            classes, sizes = members[number]
            if (counts[classes] - taken[classes] - sizes > 0).all():
                held[number] = True
                taken[classes] += sizes
                break


def separated_groups(sources: dict[str, Source], names: list[str]) -> list[str]:
    """Return a note if the splits that the data brings separate images of one group.

    Args:
        sources: the images of each split, with their groups.
        names: the names of the groups.
    """
    parts = {part: np.unique(source.groups) for part, source in sources.items() if source.groups is not None}
    members = [group[group >= 0] for group in parts.values()]
    values, counts = np.unique(np.concatenate(members) if members else [], return_counts=True)
    separated = values[counts > 1].astype(np.int64)
    if not len(separated):
        return []
    images = sum(
        int(np.isin(source.groups, separated).sum())
        for part, source in sources.items()
        if part != "train" and source.groups is not None
    )
    one = len(separated) == 1
    shown = listed([names[number] for number in separated], 3)
    return [
        f"{len(separated)} group{' has' if one else 's have'} images in several of {', '.join(parts)} ({images} images "
        f"outside train): {shown}; the measured accuracy will be too high unless a group lies in one split"
    ]
