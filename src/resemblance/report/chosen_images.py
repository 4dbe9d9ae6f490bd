"""Choose the images that a report explains: misclassified ones, the least familiar ones, and others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resemblance.core.classifier import Classifier
from resemblance.data.sources.source import DataSplits, Source, Subset
from resemblance.metrics.evaluation import evaluate
from resemblance.report.latent_space import Embeddings, draw
from resemblance.runs.run import RunRecord, choose_split


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


@dataclass
class SearchedImages:
    """Images drawn from a source, and what one pass over them tells.

    Args:
        order: the images in the order in which they were drawn.
        wrong: those of them that the model misclassifies, in the same order.
        embeddings: their embeddings, in the order of the source.
    """

    order: list[int]
    wrong: list[int]
    embeddings: Embeddings


def search_images(
    model: Classifier, source: Source, limit: int, seed: int, batch_size: int, workers: int
) -> SearchedImages:
    """Classify and embed at most ``limit`` images in one pass; the arguments are those of `embedded_images`."""
    embeddings, order = Embeddings(model), draw(len(source), limit, seed)
    images = Subset(source, np.sort(order))
    evaluation = evaluate(model, images, batch_size=batch_size, workers=workers, also=embeddings)
    wrong = set(np.sort(order)[list(evaluation.wrong)].tolist())
    return SearchedImages(order.tolist(), [i for i in order.tolist() if i in wrong], embeddings)


def choose_images(order: Sequence[int], count: int, wrong: list[int], least: list[int]) -> list[int]:
    """Return the images to explain: misclassified ones, at most half if possible, the least familiar ones, and others.

    Args:
        order: the images to choose from.
        count: the number of images to explain.
        wrong: misclassified images, in the order of the choice.
        least: the least familiar images, the first ones first; a quarter of all are taken from them.
    """
    misclassified = set(wrong)
    strange = [index for index in least if index not in misclassified][: count // 4]
    correct = [index for index in order if index not in misclassified.union(strange)]
    half = max(count - len(correct) - len(strange), count // 2)
    chosen = [*wrong[:half], *strange]
    return [*chosen, *correct[: max(count - len(chosen), 0)]]
