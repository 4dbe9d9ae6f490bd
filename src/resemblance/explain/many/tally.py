"""Count explanations: how many are right, how many wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from resemblance.explain.explanation_data import ExplanationData

# The groups that a summary names, in this order; an image can be in several.
GROUPS: dict[str, Callable[[ExplanationData], bool]] = {
    "right": lambda explanation: explanation.correct is True,
    "wrong": lambda explanation: explanation.correct is False and not explanation.abstained,
    "unfamiliar": lambda explanation: explanation.familiarity.unfamiliar,
    "without an answer": lambda explanation: explanation.abstained,
}
CLASSES = 10  # the largest number of predicted classes that a summary names


class Tally:
    """Counts of explanations by `GROUPS`, and by predicted class.

    Args:
        explanations: the first ones to count.
    """

    def __init__(self, explanations: Iterable[ExplanationData] = ()) -> None:
        self.images = 0
        self.labelled = 0
        self.groups: Counter[str] = Counter()
        self.predicted: Counter[str] = Counter()
        for explanation in explanations:
            self.add(explanation)

    def add(self, explanation: ExplanationData) -> None:
        """Count one explanation."""
        self.images += 1
        self.labelled += explanation.label is not None
        self.groups.update(name for name, belongs in GROUPS.items() if belongs(explanation))
        if not explanation.abstained:
            self.predicted[explanation.predicted] += 1

    def sentence(self) -> str:
        """Return the counts in one line; the predicted classes where no image has a label.

        Example:
            >>> tally = Tally()
            >>> tally.images, tally.labelled, tally.groups["right"], tally.groups["wrong"] = 144, 144, 99, 45
            >>> tally.sentence()
            '144 images: 99 right, 45 wrong'
        """
        parts = [f"{self.groups[name]} {name}" for name in GROUPS if self.groups[name]]
        unknown = self.images - self.labelled
        if unknown and self.labelled:
            parts.append(f"{unknown} whose class is not known")
        elif unknown:
            common = self.predicted.most_common(CLASSES)
            more = len(self.predicted) - len(common)
            parts += [f"{count} predicted {name}" for name, count in common]
            parts += [f"{more} more classes"] * (more > 0)
        count = f"{self.images} image{'' if self.images == 1 else 's'}"
        return ": ".join([count, *filter(None, [", ".join(parts)])])
