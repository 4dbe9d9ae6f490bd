"""Choose the images that a report explains: misclassified ones, the least familiar ones, and others."""

from __future__ import annotations

import numpy as np

from resemblance.data.sources.source import DataSplits, Source, Subset
from resemblance.metrics.evaluation import evaluate
from resemblance.runs.run import RunRecord, choose_split

SEARCHED = 1000  # images that are searched for misclassified ones if metrics.json does not list them


def known_wrong(run: RunRecord, splits: DataSplits, seed: int) -> list[int] | None:
    """Return the images that a run is known to misclassify, in an order drawn by the seed; None: not known."""
    wrong = known_images(run, splits, "wrong")
    if wrong is None:
        return None
    _, source = choose_split(splits, "auto")
    listed = set(wrong)
    return [int(index) for index in np.random.default_rng(seed).permutation(len(source)) if index in listed]


def known_images(run: RunRecord, splits: DataSplits, which: str) -> list[int] | None:
    """Return a list of images that was measured; None if these images were not: then it is not known.

    Args:
        run: the run.
        splits: the images.
        which: ``wrong`` or ``least_familiar``.
    """
    name, source = choose_split(splits, "auto")
    metrics = run.metrics
    same = metrics.get("data") == splits.name and metrics.get("images", {}).get(name) == len(source)
    images: list[int] | None = metrics.get(name, {}).get(which) if same else None
    return None if images is None else [index for index in images if 0 <= index < len(source)]


def choose_images(
    run: RunRecord,
    source: Source,
    count: int,
    seed: int,
    wrong: list[int] | None,
    least: list[int],
    batch_size: int,
    workers: int,
) -> list[int]:
    """Return the images to explain: misclassified ones, at most half if possible, the least familiar ones, and others.

    Args:
        run: the run.
        source: the images.
        count: the number of images to explain.
        seed: the seed of the choice.
        wrong: misclassified images, in the order of the choice; None: they are searched for.
        least: the least familiar images, the first ones first; a quarter of all are taken from them.
        batch_size: images per batch.
        workers: the number of processes that read images.
    """
    order = np.random.default_rng(seed).permutation(len(source))
    if wrong is None:
        order = order[:SEARCHED]
        evaluation = evaluate(run.model, Subset(source, order), batch_size=batch_size, workers=workers)
        wrong = [int(order[position]) for position in evaluation.wrong]
    misclassified = set(wrong)
    strange = [index for index in least if index not in misclassified][: count // 4]
    correct = [int(index) for index in order if int(index) not in misclassified.union(strange)]
    half = max(count - len(correct) - len(strange), count // 2)
    chosen = [*wrong[:half], *strange]
    return [*chosen, *correct[: max(count - len(chosen), 0)]]
