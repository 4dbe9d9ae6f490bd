"""An explanation as data: what was predicted, and for which reasons; without words, figures or pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from resemblance.config.words import PROTOTYPES, Words
from resemblance.data.images import Pixels
from resemblance.explain.reason import Reason, Step
from resemblance.explain.rounding import finite
from resemblance.explain.score_breakdown import ScoreBreakdown


@dataclass(frozen=True)
class ExplanationData:
    """The data of an `Explanation`, for what draws it or puts it into words.

    Args:
        name: the image's name.
        image: (H, W, 3) uint8, as the model saw it.
        method: the model's method.
        classes: the names of all classes.
        scores: (C,) as computed.
        probabilities: (C,) their softmax, where scores are logits of weighted reasons; else None.
        score_kind: ``logit``, ``probability`` or ``votes``.
        order: by what the reasons are ordered.
        prediction: index of the predicted class.
        breakdowns: one for each class that was asked for; by default, the predicted one.
        label: index of the true class, where known.
        counter: the best reason for ``counter_class``: the true class if the prediction is wrong, else the
            predicted one if another was asked for, else the runner-up.
        counter_class: index of that class.
        chosen: the prototypes were chosen by the caller.
        words: what the method calls its prototypes, and the numbers beside them.
        abstained: the model gives no answer; ``prediction`` is then without meaning.
    """

    name: str
    image: Pixels
    method: str
    classes: tuple[str, ...]
    scores: NDArray[np.float32]
    probabilities: NDArray[np.float32] | None
    score_kind: Literal["logit", "probability", "votes"]
    order: Literal["contribution", "similarity"]
    prediction: int
    breakdowns: tuple[ScoreBreakdown, ...]
    label: int | None = None
    counter: Reason | None = None
    counter_class: int | None = None
    chosen: bool = False
    words: Words = PROTOTYPES
    abstained: bool = False

    @property
    def predicted(self) -> str:
        """The predicted class's name."""
        return self.classes[self.prediction]

    @property
    def true(self) -> str | None:
        """The true class's name, where known."""
        return None if self.label is None else self.classes[self.label]

    @property
    def correct(self) -> bool | None:
        """True if the prediction is right, which no abstention is; None where the truth is unknown."""
        return None if self.label is None else not self.abstained and self.label == self.prediction

    @property
    def breakdown(self) -> ScoreBreakdown:
        """The score of the first class that was asked for, broken down; by default, of the predicted one."""
        return self.breakdowns[0]

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """The reasons shown for that class."""
        return self.breakdown.reasons

    @property
    def share(self) -> float:
        """The share of all contributions to that class that the reasons shown carry."""
        return self.breakdown.share

    @property
    def bias(self) -> float:
        """The part of that class's score that no reason carries."""
        return self.breakdown.bias

    @property
    def all_reasons(self) -> list[Reason]:
        """The reasons shown for all classes that were asked for, and the one beside them."""
        shown = [reason for breakdown in self.breakdowns for reason in breakdown.reasons]
        return [*shown, *([self.counter] if self.counter else [])]

    @property
    def paths(self) -> bool:
        """True if the reasons are paths through a tree of prototypes."""
        return any(reason.steps for reason in self.all_reasons)

    @property
    def located(self) -> bool:
        """True if the reasons say where in the image they are."""
        parts: list[Reason | Step] = [*self.all_reasons]
        parts += [step for reason in self.all_reasons for step in reason.steps]
        return any(part.heat is not None for part in parts)

    def to_dict(self, arrays: bool = False) -> dict[str, Any]:
        """Return a JSON-ready dictionary; image, maps and pictures as nested lists only if ``arrays``."""
        record: dict[str, Any] = {
            "name": self.name,
            "method": self.method,
            "prediction": self.predicted,
            "prediction_index": self.prediction,
            "label": self.true,
            "correct": self.correct,
            "abstained": self.abstained,
            "score_kind": self.score_kind,
            "scores": {name: finite(score) for name, score in zip(self.classes, self.scores, strict=True)},
            "probabilities": None
            if self.probabilities is None
            else {name: finite(p) for name, p in zip(self.classes, self.probabilities, strict=True)},
            "order": self.order,
            "breakdowns": [breakdown.to_dict(arrays) for breakdown in self.breakdowns],
            "counter": None if self.counter is None else self.counter.to_dict(arrays),
            "counter_class": None if self.counter_class is None else self.classes[self.counter_class],
        }
        if arrays:
            record["image"] = self.image.tolist()
        return record
