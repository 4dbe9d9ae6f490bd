"""Collect the figures that a folder claims, and check that they do not contradict each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from resemblance.printing.numbers import share
from resemblance.runs.folders import METRICS
from resemblance.runs.inspection.findings import Findings
from resemblance.store import CONFIG

TOLERANCE = 1e-9
SPLITS = ("val", "test")
# The figures of each split, with their keys in files.
FIGURES = (("accuracy", "accuracy"), ("black box", "black_box"), ("agreement", "agreement"))


@dataclass(frozen=True)
class ClaimedFigure:
    """A figure that a folder claims.

    Args:
        figure: ``accuracy``, ``black box``, ``agreement``, ``class means``, ``prototypes``, or a measure of the
            method itself.
        split: the images that it was measured on; empty where it belongs to none.
        value: the figure.
        images: the number of images; None if the folder does not say.
        file: the file that claims it.
    """

    figure: str
    split: str
    value: float
    images: int | None
    file: str

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary; a figure that is not finite is None."""
        return {**asdict(self), "value": self.value if math.isfinite(self.value) else None}


def claimed_figures(facts: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[ClaimedFigure]:
    """Collect the figures of a model's facts and of a run's metrics.json.

    Args:
        facts: the facts of the model.
        metrics: the content of metrics.json, as `read_metrics` returns it; empty if there is none.

    Example:
        >>> metrics = {"test": {"images": 200, "accuracy": 0.9, "measured": {"fidelity": 0.8}}}
        >>> for claim in claimed_figures({"accuracy": {"test": 0.9}, "prototypes": 20}, metrics):
        ...     print(claim.figure, claim.split, claim.value, claim.images, claim.file)
        accuracy test 0.9 200 config.json
        prototypes  20 None config.json
        accuracy test 0.9 200 metrics.json
        fidelity test 0.8 200 metrics.json
    """
    return [*_of_facts(facts, metrics), *_of_metrics(metrics)]


def check_figures(
    method: str | None, facts: Mapping[str, Any], metrics: Mapping[str, Any], findings: Findings
) -> None:
    """Check that the figures of a folder are possible, and agree with each other.

    Args:
        method: the method of the model, by its config.json.
        facts: the facts of the model.
        metrics: the content of metrics.json.
        findings: receives what does not agree.
    """
    first: dict[tuple[str, str], ClaimedFigure] = {}
    for claim in claimed_figures(facts, metrics):
        title = f"{claim.figure} on {claim.split}" if claim.split else claim.figure
        if claim.split and not 0 <= claim.value <= 1:
            says = f"{claim.file} claims {claim.value:g} for {title}, which is not a share from 0 to 1"
            findings.add("contradiction", claim.file, says)
            continue
        earlier = first.setdefault((claim.figure, claim.split), claim)
        if abs(earlier.value - claim.value) > TOLERANCE:
            files, values = f"{earlier.file} and {claim.file}", f"{_text(earlier)} and {_text(claim)}"
            says = f"{files} claim different figures, {title}: {values}"
            findings.add("contradiction", claim.file, says)
    if metrics and method is not None and metrics.get("method", method) != method:
        says = f"{METRICS} is of the method {metrics['method']!r}, but the model is of {method!r}"
        findings.add("contradiction", METRICS, says)
    for split in SPLITS:
        if split in metrics:
            for says in _impossible(metrics[split]):
                findings.add("contradiction", METRICS, f"{METRICS}, {split}: {says}")


def _of_facts(facts: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterator[ClaimedFigure]:
    for figure, name in (*FIGURES, ("class means", "class_means")):
        for split, value in facts.get(name, {}).items():
            images = metrics.get(split, {}).get("images") if split in SPLITS else None
            yield ClaimedFigure(figure, split, value, images, CONFIG)
    if "prototypes" in facts:
        yield ClaimedFigure("prototypes", "", facts["prototypes"], None, CONFIG)


def _of_metrics(metrics: Mapping[str, Any]) -> Iterator[ClaimedFigure]:
    for split in SPLITS:
        values = metrics.get(split, {})
        images = values.get("images")
        for figure, name in FIGURES:
            if values.get(name) is not None:
                yield ClaimedFigure(figure, split, values[name], images, METRICS)
        for name, value in values.get("measured", {}).items():
            yield ClaimedFigure(name, split, value, images, METRICS)


def _impossible(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield what in the figures of one split does not agree with its confusion matrix and its misclassified images."""
    images, accuracy = values.get("images"), values.get("accuracy")
    try:
        confusion = np.array(values.get("confusion"), dtype=np.int64)
    except (ValueError, TypeError, OverflowError):
        confusion = np.zeros((0, 0), np.int64)
    correct = None
    if confusion.ndim == 2 and confusion.size and confusion.shape[0] == confusion.shape[1]:
        total, correct = int(confusion.sum()), int(confusion.trace())
        if images is not None and total != images:
            yield f"the confusion matrix counts {total} images, but {images} are claimed"
        if accuracy is not None and total and abs(correct / total - accuracy) > TOLERANCE:
            yield (
                f"by the confusion matrix, {share(correct / total)} of the images are classified correctly, but "
                f"{share(accuracy)} are claimed"
            )
    wrong = values.get("wrong")
    if correct is None and wrong is not None and images and accuracy is not None:
        correct = images - len(wrong)
        if abs(correct / images - accuracy) > TOLERANCE:
            yield f"{len(wrong)} misclassified images are listed, which is not an accuracy of {share(accuracy)}"
    elif correct is not None and wrong is not None and images is not None and len(wrong) != images - correct:
        yield f"{len(wrong)} misclassified images are listed, but the confusion matrix counts {images - correct}"
    gap, black_box, agreement = values.get("gap"), values.get("black_box"), values.get("agreement")
    if black_box is None or accuracy is None:
        return
    # Where both are right, and where just one is, they agree and differ for certain.
    least, most = black_box + accuracy - 1, 1 - abs(black_box - accuracy)
    if agreement is not None and not least - TOLERANCE <= agreement <= most + TOLERANCE:
        yield (
            f"model and black box are claimed to agree on {share(agreement)} of the images, but their accuracies allow "
            f"only {share(max(0.0, least))} to {share(most)}"
        )
    if gap is not None and abs(black_box - accuracy - gap) > TOLERANCE:
        yield f"a gap of {100 * gap:.2f} points is claimed, but it is {100 * (black_box - accuracy):.2f}"


def _text(claim: ClaimedFigure) -> str:
    return share(claim.value) if claim.split else f"{claim.value:g}"
