"""Compare the similarity on which a prediction rests with those of images that the model classifies correctly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from resemblance.config.errors import UserError
from resemblance.core.deciding import deciding_similarity
from resemblance.core.output import Output
from resemblance.core.prototype_model import PrototypeModel
from resemblance.core.reference import ENOUGH, LEAST, USUAL, SimilarityRange

Verdict = Literal["familiar", "unfamiliar", "too few images", "no reference", "no similarity"]


@dataclass(frozen=True)
class Familiarity:
    """The similarity on which a prediction rests, and its reference.

    Args:
        similarity: the largest similarity to a prototype of the predicted class (see `core.deciding`); None for a model
            that has none, or a class without prototypes.
        prototype: the index of that prototype.
        images: the number of correctly classified validation images that it is compared with.
        class_name: the predicted class, if they are all of it; None if they are of all classes.
        low: the 5 % quantile of their similarities; None if there are too few.
        high: the 95 % quantile.
        least: the 1 % quantile: an image below it resembles nothing that the model knows.
        abstain_below: the similarity below which the caller wants no prediction; None if any is wanted.

    Example:
        >>> seen = Familiarity(0.001, 8, 140, None, low=0.18, high=0.83, least=0.1)
        >>> seen.verdict, seen.abstains, Familiarity(0.5, 8, 60).verdict
        ('unfamiliar', False, 'too few images')
    """

    similarity: float | None = None
    prototype: int | None = None
    images: int | None = None
    class_name: str | None = None
    low: float | None = None
    high: float | None = None
    least: float | None = None
    abstain_below: float | None = None

    @property
    def verdict(self) -> Verdict:
        """Whether the image resembles something that the model knows, or why this cannot be judged."""
        if self.similarity is None:
            return "no similarity"
        if self.images is None:
            return "no reference"
        if self.least is None:
            return "too few images"
        return "unfamiliar" if self.similarity < self.least else "familiar"

    @property
    def unfamiliar(self) -> bool:
        """Whether the image resembles nothing that the model knows."""
        return self.verdict == "unfamiliar"

    @property
    def abstains(self) -> bool:
        """Whether the caller wants no prediction for an image like this."""
        return (
            self.abstain_below is not None
            and self.similarity is not None
            and self.similarity < self.abstain_below
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold."""
        return {
            "similarity": self.similarity,
            "prototype": self.prototype,
            "reference": None
            if self.least is None
            else {
                "images": self.images,
                "class": self.class_name,
                "quantiles": {
                    f"{USUAL[0]:g}": self.low,
                    f"{USUAL[1]:g}": self.high,
                    f"{LEAST:g}": self.least,
                },
            },
            "verdict": self.verdict,
            "abstain_below": self.abstain_below,
        }


NOT_COMPARED = Familiarity()


def familiarities(
    model: PrototypeModel, output: Output, abstain_below: float | None = None
) -> list[Familiarity]:
    """Compare the images of a batch with the reference of the model.

    Args:
        model: the model.
        output: its output for the images.
        abstain_below: the quantile below which no prediction is wanted.
    """
    count = len(output.scores)
    deciding = deciding_similarity(model, output)
    if deciding is None:
        return [NOT_COMPARED] * count
    similarities, prototypes = (values.tolist() for values in deciding)
    classes = output.scores.argmax(dim=1).tolist()
    rows = zip(similarities, prototypes, classes, strict=True)
    return [_compared(model, *row, abstain_below) for row in rows]


def _compared(
    model: PrototypeModel, similarity: float, prototype: int, class_index: int, abstain_below: float | None
) -> Familiarity:
    if not math.isfinite(similarity):
        return NOT_COMPARED
    reference = model.reference
    known = None if reference is None else reference.of(class_index)
    if reference is None or known is None:
        return Familiarity(similarity, prototype)
    if not known.enough:
        return Familiarity(similarity, prototype, known.images)
    return Familiarity(
        similarity,
        prototype,
        known.images,
        None if known is reference.whole else model.spec.classes[class_index],
        known.at(USUAL[0]),
        known.at(USUAL[1]),
        known.at(LEAST),
        None if abstain_below is None else known.at(abstain_below),
    )


def check_abstention(model: PrototypeModel, abstain_below: float | None, level: float | None) -> None:
    """Refuse a quantile or a level that the model cannot be asked for.

    Args:
        model: the model.
        abstain_below: the quantile of the deciding similarity below which no prediction is wanted.
        level: the probability with which a set of classes holds the true class.

    Raises:
        UserError: if they are not between 0 and 1, or the model has no reference, or one of too few images.
    """
    for name, value in (("abstain_below", abstain_below), ("conformal", level)):
        if value is not None and not 0 <= value <= 1:
            raise UserError(f"{name} must be between 0 and 1, not {value}")
    if abstain_below is None and level is None:
        return
    reference = model.reference
    if reference is None:
        raise UserError(
            f"this {model.name} stores no similarities of validation images to compare with; train or convert it again "
            "with validation images"
        )
    if abstain_below is None:
        return
    if reference.whole is None:
        raise UserError(
            f"{model.name} has no similarity on which a prediction rests, by which it could abstain"
        )
    if not reference.whole.enough:
        raise UserError(
            f"{_images(reference.whole)} are too few to abstain by a quantile of their similarities; it takes {ENOUGH}"
        )


def _images(known: SimilarityRange) -> str:
    return f"{known.images} correctly classified validation image{'s' * (known.images != 1)}"
