"""The answer of the black box beside an explanation, and the sentences about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from resemblance.explain.rounding import finite, percent
from resemblance.printing.characters import capitalised


@dataclass(frozen=True)
class BlackBoxAnswer:
    """The answer for an image by the classifier that the model was converted from.

    Args:
        prediction: the index of the class that it predicts.
        predicted: the name of that class.
        probability: the probability that it gives this class.
        agrees: whether the model that is explained predicts this class, too; None if it abstains.

    Example:
        >>> answer = BlackBoxAnswer(3, "three", 0.75, agrees=False)
        >>> answer.text().replace("\N{NO-BREAK SPACE}", " ")
        'the original classifier says three (probability 75 %)'
    """

    prediction: int
    predicted: str
    probability: float
    agrees: bool | None

    def text(self) -> str:
        """Return the answer in one line."""
        name = f"{self.predicted}, too" if self.agrees else self.predicted
        return f"the original classifier says {name} (probability {percent(self.probability)})"

    def warning(self, predicted: str) -> str:
        """Return a sentence about an answer that differs from that of the model, ``predicted``."""
        text = capitalised(self.text())
        return f"{text}, not {predicted}: the reasons shown are not the reasons for its answer."

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {
            "prediction": self.predicted,
            "prediction_index": self.prediction,
            "probability": finite(self.probability),
            "agrees": self.agrees,
        }


def black_box_answers(
    probabilities: Tensor | None, predictions: Sequence[int | None], classes: tuple[str, ...]
) -> list[BlackBoxAnswer | None]:
    """Return the answer of the black box for each image; None for each where the model has no black box.

    Args:
        probabilities: (B, C) by the black box; None without one.
        predictions: the class that the model predicts for each image; None where it abstains.
        classes: the names of the classes.
    """
    if probabilities is None:
        return [None] * len(predictions)
    largest, which = probabilities.max(dim=1)
    rows = zip(which.tolist(), largest.tolist(), predictions, strict=True)
    return [
        BlackBoxAnswer(c, classes[c], probability, None if own is None else c == own)
        for c, probability, own in rows
    ]
