"""The order in which explanations are shown: in groups, and the same images by several models side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from resemblance.explain.explanation import Explanation
from resemblance.report.content import RunReport


@dataclass(frozen=True)
class ImageRow:
    """One image, and what each model says of it.

    Args:
        name: of the image.
        explanations: one per run, None where the run does not explain this image.
    """

    name: str
    explanations: tuple[Explanation | None, ...]

    @property
    def count(self) -> int:
        """The number of runs that explain it."""
        return sum(one is not None for one in self.explanations)

    @property
    def first(self) -> Explanation:
        """An explanation of it; there is one."""
        return next(one for one in self.explanations if one is not None)


def same_images(runs: Sequence[RunReport]) -> list[ImageRow]:
    """Return the images that all runs with explanations explain, in the order of the first run's page.

    Where there are none, the images that at least two runs explain. Images are known by their names; one whose name is
    not unique is left out.

    Example:
        >>> same_images([RunReport("run", "kmex", ("cat", "dog"))])
        []
    """
    by_run = []
    for run in runs:
        counts = Counter(one.name for one in run.explanations)
        by_run.append({one.name: one for one in run.explanations if counts[one.name] == 1})
    names = dict.fromkeys(name for explained in by_run for name in explained)
    rows = [ImageRow(name, tuple(explained.get(name) for explained in by_run)) for name in names]
    explaining = sum(bool(explained) for explained in by_run)
    by_all = [row for row in rows if row.count == explaining]
    return (by_all if explaining > 1 else []) or [row for row in rows if row.count > 1]


def grouped(explanations: Sequence[Explanation]) -> list[tuple[str, list[Explanation]]]:
    """Return the explanations of a page in groups with their headings: right ones, then wrong ones, then
    strange ones, then all others.

    Example:
        >>> grouped([])
        []
    """
    groups: dict[str, list[Explanation]] = {
        "Correctly classified images": [one for one in explanations if one.correct and not strange(one)],
        "Misclassified images": [one for one in explanations if one.correct is False],
        "Images that resemble least what the model knows": [
            one for one in explanations if one.correct and strange(one)
        ],
        "Images": [one for one in explanations if one.correct is None],
    }
    return [(title, group) for title, group in groups.items() if group]


def strange(explanation: Explanation) -> bool:
    """Return whether an image resembles its nearest prototypes less than 95 % of what the model knows."""
    seen = explanation.familiarity
    return seen.similarity is not None and seen.low is not None and seen.similarity < seen.low
