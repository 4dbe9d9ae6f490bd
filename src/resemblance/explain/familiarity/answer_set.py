"""The set of classes that holds the true class with the probability that the caller asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resemblance.core.output import Output
from resemblance.core.prototype_model import PrototypeModel


@dataclass(frozen=True)
class AnswerSet:
    """The classes that remain possible at a level (see `core.conformal`).

    Args:
        level: the probability with which the set holds the true class of an image like the validation images.
        classes: the names of the classes, the most probable first; there may be none.
        images: the number of validation images that the set rests on.
        enough: whether these are enough for the level; if not, all classes are in the set.
        before_refit: whether they were measured before the model was trained on them, too.

    Example:
        >>> AnswerSet(0.9, ("3", "8"), 143).to_dict()["classes"]
        ['3', '8']
    """

    level: float
    classes: tuple[str, ...]
    images: int
    enough: bool = True
    before_refit: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold."""
        return {
            "level": self.level,
            "classes": list(self.classes),
            "images": self.images,
            "enough": self.enough,
            "before_refit": self.before_refit,
        }


def answer_sets(model: PrototypeModel, output: Output, level: float | None) -> list[AnswerSet | None]:
    """Return the set of classes of each image of a batch; None without a level.

    Args:
        model: the model; it has a reference.
        output: its output for the images.
        level: the probability with which each set holds the true class.
    """
    reference = model.reference
    if level is None or reference is None:
        return [None] * len(output.scores)
    calibration, names = reference.calibration, model.spec.classes
    enough = calibration.threshold(level) is not None
    return [
        AnswerSet(
            level,
            tuple(names[c] for c in calibration.classes(row, level)),
            calibration.images,
            enough,
            reference.before_refit,
        )
        for row in model.probabilities(output.scores.float()).cpu().numpy()
    ]
