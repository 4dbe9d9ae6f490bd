"""Explanations as data: what was predicted, and for which reasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from resemblance.config.words import PROTOTYPES, Words
from resemblance.explain.prototype_view import PrototypeView
from resemblance.explain.rounding import finite
from resemblance.explain.score_breakdown import Reason, ScoreBreakdown, Step
from resemblance.prototypes.gallery import Pixels

__all__ = ["Explanation", "PrototypeView", "Reason", "ScoreBreakdown", "Step"]


@dataclass(frozen=True)
class Explanation:
    """Why a model says what it says of an image.

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
        accounts: one for each class that was asked for; by default, the predicted one.
        label: index of the true class, where known.
        counter: the best reason for ``counter_class``: the true class if the prediction is wrong, else the
            predicted one if another was asked for, else the runner-up.
        counter_class: index of that class.
        chosen: the prototypes were chosen by the caller.
        words: what the method calls its prototypes, and the numbers beside them.
        abstained: the model gives no answer; ``prediction`` is then without meaning.

    Example:
        >>> reason = Reason(PrototypeView(3, ("cat",)), similarity=2.0, contribution=2.0, weight=1.0)
        >>> account = ScoreBreakdown(0, "cat", 2.0, (reason,))
        >>> scores = np.array([2.0, 1.0])
        >>> image = np.zeros((8, 8, 3), np.uint8)
        >>> explanation = Explanation("a.png", image, "protopnet", ("cat", "dog"), scores, None, "logit",
        ...                           "contribution", prediction=0, accounts=(account,), label=1)
        >>> explanation.predicted, explanation.correct, explanation.reasons[0].prototype.index
        ('cat', False, 3)
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
    accounts: tuple[ScoreBreakdown, ...]
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
        """Whether the prediction is right, which no abstention is; None where the truth is unknown."""
        return None if self.label is None else not self.abstained and self.label == self.prediction

    @property
    def account(self) -> ScoreBreakdown:
        """The account of the first class that was asked for; by default, of the prediction."""
        return self.accounts[0]

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """The reasons shown for that class."""
        return self.account.reasons

    @property
    def share(self) -> float:
        """The share of all contributions to that class that the reasons shown carry."""
        return self.account.share

    @property
    def bias(self) -> float:
        """The part of that class's score that no reason carries."""
        return self.account.bias

    @property
    def all_reasons(self) -> list[Reason]:
        """The reasons shown for all classes that were asked for, and the one beside them."""
        shown = [reason for account in self.accounts for reason in account.reasons]
        return [*shown, *([self.counter] if self.counter else [])]

    @property
    def paths(self) -> bool:
        """Whether the reasons are paths through a tree of prototypes."""
        return any(reason.steps for reason in self.all_reasons)

    @property
    def located(self) -> bool:
        """Whether the reasons say where in the image they are."""
        parts: list[Reason | Step] = [*self.all_reasons]
        parts += [step for reason in self.all_reasons for step in reason.steps]
        return any(part.heat is not None for part in parts)

    @property
    def warnings(self) -> list[str]:
        """Where the reasons should not be taken at their word, in words."""
        from resemblance.explain.text import warnings

        return warnings(self)

    def to_dict(self, arrays: bool = False) -> dict[str, Any]:
        """A JSON-ready dictionary; image, maps and pictures as nested lists only if ``arrays``."""
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
            "explanations": [account.to_dict(arrays) for account in self.accounts],
            "counter": None if self.counter is None else self.counter.to_dict(arrays),
            "counter_class": None if self.counter_class is None else self.classes[self.counter_class],
            "warnings": self.warnings,
        }
        if arrays:
            record["image"] = self.image.tolist()
        return record

    def plot(self) -> Any:
        """A matplotlib figure of the image and its reasons."""
        from resemblance.explain.figure import explanation_figure  # data draws itself: the one upward glance

        return explanation_figure(self)

    def _repr_html_(self) -> str:
        from resemblance.report.page import explanation_html

        return explanation_html(self)

    def __str__(self) -> str:
        from resemblance.explain.text import text_table

        return text_table(self)
