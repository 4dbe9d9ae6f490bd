"""The score that a class's score is compared with, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from resemblance.explain.rounding import finite

ReferenceKind = Literal["mean", "runner-up", "class"]
# What may be asked for: a kind, the index of a class, the default of the method, or the plain score.
AgainstWord = Literal["auto", "mean", "runner-up", "none"]
AGAINST_WORDS: tuple[AgainstWord, ...] = get_args(AgainstWord)
Against = AgainstWord | int


@dataclass(frozen=True)
class Reference:
    """The score that is subtracted from the score of the explained class.

    Args:
        kind: ``mean`` of the scores of all classes; ``runner-up``, the largest score of another class; or the score of
            a ``class`` that the caller named.
        score: its value.
        size: Σ|contributions| + |bias| of the explained class, plus that of the reference: the numbers that the model
            rounded.
        class_index: the index of its class; None for the mean.
        class_name: the name of its class.

    Example:
        >>> Reference("class", -1.5, 20.0, 1, "dog").text, Reference("mean", 0.25, 30.0).text
        ('that of dog', 'the mean of the classes')
    """

    kind: ReferenceKind
    score: float
    size: float = 0.0
    class_index: int | None = None
    class_name: str | None = None

    @property
    def text(self) -> str:
        """What is subtracted, in words that continue "the score of a class minus"."""
        return "the mean of the classes" if self.class_name is None else f"that of {self.class_name}"

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold."""
        return {"kind": self.kind, "class": self.class_name, "score": finite(self.score)}
