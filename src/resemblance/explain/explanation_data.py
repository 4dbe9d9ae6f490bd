"""The data of an explanation: the prediction and its reasons, without text, figures or pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from resemblance.config.relevance import MapKind
from resemblance.config.words import PROTOTYPES, Words
from resemblance.data.geometry import Preparation
from resemblance.data.images import Pixels
from resemblance.explain.context.black_box_answer import BlackBoxAnswer
from resemblance.explain.context.ranking import Ranking
from resemblance.explain.familiarity.answer_set import AnswerSet
from resemblance.explain.familiarity.familiarity import NOT_COMPARED, Familiarity
from resemblance.explain.reason import Reason, Step
from resemblance.explain.rounding import finite
from resemblance.explain.score_breakdown import ScoreBreakdown
from resemblance.prototypes.gallery import Picture


@dataclass(frozen=True)
class ExplanationData:
    """The data of an `Explanation`, for the modules that draw it or write it as text.

    Args:
        name: the image's name.
        image: (H, W, 3) uint8, as the model reads it.
        method: the model's method.
        classes: the names of all classes.
        scores: (C,) the scores that the model computed.
        probabilities: (C,) the softmax of the scores if these are logits of weighted reasons; else None.
        score_kind: ``logit``, ``probability`` or ``votes``.
        order: the value by which the reasons are ordered.
        prediction: the index of the predicted class.
        breakdowns: the score of each explained class; by default, of the predicted class.
        label: the index of the true class, if known.
        counter: the best reason for ``counter_class``: the true class if the prediction is wrong, else the
            predicted class if another class is explained, else the runner-up.
        counter_class: the index of that class.
        chosen: whether the caller chose the prototypes.
        words: the method's terms for its prototypes and their numbers.
        abstained: whether the model makes no prediction; ``prediction`` then has no meaning.
        preparation: the mapping between places of the picture and of ``image``, in which boxes and maps are:
            ``preparation.to_original(reason.box)``.
        maps: the kind of the reasons' maps; None if there are none.
        ranking: the nearest prototypes of all classes, if a score is the similarity to a single one; else None.
        familiarity: the similarity on which the prediction rests, beside those of images that the model knows.
        answer_set: the classes that hold the true one with the probability that the caller asked for; None if it did
            not.
        black_box: the answer of the classifier that the model was converted from; None for other models.
        original: the picture that ``image`` was made from, with at most 1200 pixels on its longer side; None if it is
            ``image`` itself. Figures and pages show it.
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
    preparation: Preparation | None = None
    maps: MapKind | None = None
    ranking: Ranking | None = None
    familiarity: Familiarity = NOT_COMPARED
    answer_set: AnswerSet | None = None
    black_box: BlackBoxAnswer | None = None
    original: Picture | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.name!r}: predicted {self.predicted}>"

    @property
    def predicted(self) -> str:
        """The name of the predicted class."""
        return self.classes[self.prediction]

    @property
    def true(self) -> str | None:
        """The name of the true class; None if unknown."""
        return None if self.label is None else self.classes[self.label]

    @property
    def correct(self) -> bool | None:
        """Whether the prediction is correct; False if the model abstains, None if the true class is unknown."""
        return None if self.label is None else not self.abstained and self.label == self.prediction

    @property
    def breakdown(self) -> ScoreBreakdown:
        """The score of the first explained class, broken down; by default, of the predicted class."""
        return self.breakdowns[0]

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """The reasons shown for the first explained class."""
        return self.breakdown.reasons

    @property
    def share(self) -> float:
        """The share of the reasons shown in all contributions to the first explained class."""
        return self.breakdown.share

    @property
    def bias(self) -> float:
        """The part of the first explained class's score that belongs to no reason."""
        return self.breakdown.bias

    def misses(self, breakdown: ScoreBreakdown) -> bool:
        """Check whether the reasons shown miss most of what decided, so that the reader must be warned.

        There is no warning where it is always so: if the nearest prototypes are shown, not the strongest reasons, and
        for the plain score of logits if the others count against the class, as most prototypes do for every class.
        """
        plain = self.probabilities is not None and breakdown.reference is None
        lowered = plain and breakdown.others_contribution < 0
        return breakdown.outweighed and self.order == "contribution" and not lowered

    @property
    def input_size(self) -> tuple[int, int]:
        """The height and the width of ``image``, in which boxes and maps are."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def all_reasons(self) -> list[Reason]:
        """The reasons shown for all explained classes, and the one for the counter-class."""
        shown = [reason for breakdown in self.breakdowns for reason in breakdown.reasons]
        return [*shown, *([self.counter] if self.counter else [])]

    @property
    def paths(self) -> bool:
        """Whether the reasons are paths through a tree of prototypes."""
        return any(reason.steps for reason in self.all_reasons)

    @property
    def all_parts(self) -> list[Reason | Step]:
        """All reasons, and the steps of those that are paths."""
        steps = [step for reason in self.all_reasons for step in reason.steps]
        return [*self.all_reasons, *steps]

    @property
    def mapped(self) -> list[Reason | Step]:
        """The reasons and steps that have a map, each prototype once."""
        return list({part.prototype.index: part for part in self.all_parts if part.map.drawn}.values())

    @property
    def located(self) -> bool:
        """Whether the reasons have a place in the image."""
        return any(part.box is not None for part in self.mapped)

    @property
    def signed(self) -> bool:
        """Whether the maps also mark what speaks against a prototype; similarity maps do not."""
        return self.maps not in (None, "similarity")

    def to_dict(self, arrays: bool = False) -> dict[str, Any]:
        """Return a dictionary that JSON can hold; image, maps and pictures are included only if ``arrays``."""
        record: dict[str, Any] = {
            "name": self.name,
            "method": self.method,
            "prediction": self.predicted,
            "prediction_index": self.prediction,
            "label": self.true,
            "correct": self.correct,
            "abstained": self.abstained,
            "familiarity": self.familiarity.to_dict(),
            "answer_set": None if self.answer_set is None else self.answer_set.to_dict(),
            "black_box": None if self.black_box is None else self.black_box.to_dict(),
            "preparation": None if self.preparation is None else self.preparation.to_dict(),
            "score_kind": self.score_kind,
            "scores": {name: finite(score) for name, score in zip(self.classes, self.scores, strict=True)},
            "probabilities": None
            if self.probabilities is None
            else {name: finite(p) for name, p in zip(self.classes, self.probabilities, strict=True)},
            "order": self.order,
            "maps": self.maps,
            "breakdowns": [breakdown.to_dict(arrays) for breakdown in self.breakdowns],
            "ranking": None if self.ranking is None else self.ranking.to_dict(),
            "counter": None if self.counter is None else self.counter.to_dict(arrays),
            "counter_class": None if self.counter_class is None else self.classes[self.counter_class],
        }
        if arrays:
            record["image"] = self.image.tolist()
        return record
