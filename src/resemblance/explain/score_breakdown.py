"""The score of a class, taken apart into reasons that add up to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from resemblance.explain.prototype_view import PrototypeView
from resemblance.explain.rounding import add_up, decimals_for, finite, signed
from resemblance.prototypes.gallery import Box


@dataclass(frozen=True)
class Step:
    """A question on the way to a reason that is a path: is the prototype there?

    Args:
        prototype: that is asked for.
        present: the way goes on because it is there; else because it is not.
        probability: of this turn.
        heat: (H, W) float32, the similarity map upsampled to the image; None where the model has no maps.
        box: around the image's pixels at or above the map's 95th percentile, or the patch that the method frames: x0,
            y0, x1, y1, exclusive.
    """

    prototype: PrototypeView
    present: bool
    probability: float
    heat: NDArray[np.float32] | None = None
    box: Box | None = None

    def to_dict(self, arrays: bool = False) -> dict[str, Any]:
        """A JSON-ready dictionary; the map and the picture as nested lists only if ``arrays``."""
        record = self.prototype.to_dict(arrays) | {
            "present": self.present,
            "probability": finite(self.probability),
            "box": list(self.box) if self.box else None,
        }
        if arrays:
            record["heat"] = None if self.heat is None else self.heat.tolist()
        return record


@dataclass(frozen=True)
class Reason:
    """One prototype's part in the score of a class, or that of a path through several of them.

    Args:
        prototype: the prototype.
        similarity: of the image to the prototype.
        contribution: what it adds to the score.
        weight: the factor between the two, where there is one.
        heat: (H, W) float32, the similarity map upsampled to the image; None where the model has no maps.
        box: around the image's pixels at or above the map's 95th percentile, or the patch that the method frames: x0,
            y0, x1, y1, exclusive.
        steps: the questions on the way, where the reason is a path; ``prototype`` is then the last one,
            ``similarity`` the probability of the path and ``weight`` that of the class at its end.
    """

    prototype: PrototypeView
    similarity: float
    contribution: float
    weight: float | None = None
    heat: NDArray[np.float32] | None = None
    box: Box | None = None
    steps: tuple[Step, ...] = ()

    def to_dict(self, arrays: bool = False) -> dict[str, Any]:
        """A JSON-ready dictionary; the map and the picture as nested lists only if ``arrays``."""
        record: dict[str, Any] = self.prototype.to_dict(arrays) | {
            "similarity": finite(self.similarity),
            "weight": finite(self.weight),
            "contribution": finite(self.contribution),
            "box": list(self.box) if self.box else None,
        }
        if self.steps:
            record["steps"] = [step.to_dict(arrays) for step in self.steps]
        if arrays:
            record["heat"] = None if self.heat is None else self.heat.tolist()
        return record


@dataclass(frozen=True)
class Line:
    """A rounded line of the table that adds up; only lines of kind ``reason`` have a ``reason``."""

    kind: Literal["reason", "others", "bias", "score"]
    value: str
    reason: Reason | None = None


@dataclass(frozen=True)
class ScoreBreakdown:
    """The score of one class, taken apart: reasons shown + the others + bias = score.

    Args:
        class_index: the class.
        class_name: its name.
        score: as the model computed it.
        reasons: those that are shown.
        others: how many reasons are not shown.
        others_for: the sum of their positive contributions.
        others_against: the sum of their negative contributions.
        bias: the part of the score that no reason carries.

    Example:
        >>> reason = Reason(PrototypeView(3, ("cat",)), similarity=2.0, contribution=2.0, weight=1.0)
        >>> account = ScoreBreakdown(0, "cat", 1.5, (reason,), others=9, others_for=0.5, others_against=-1.0)
        >>> round(account.share, 3), [line.value for line in account.lines()]
        (0.571, ['+2.000', '−0.500', '0.000', '1.500'])
    """

    class_index: int
    class_name: str
    score: float
    reasons: tuple[Reason, ...]
    others: int = 0
    others_for: float = 0.0
    others_against: float = 0.0
    bias: float = 0.0

    @property
    def others_contribution(self) -> float:
        """What the reasons that are not shown add to the score."""
        return self.others_for + self.others_against

    @property
    def absolute(self) -> float:
        """Σ|contribution| over all reasons."""
        shown = sum(abs(reason.contribution) for reason in self.reasons)
        return shown + self.others_for - self.others_against

    @property
    def share(self) -> float:
        """Σ|contribution| of the reasons shown over that of all; 0 where no reason contributes."""
        shown = sum(abs(reason.contribution) for reason in self.reasons)
        return shown / self.absolute if self.absolute > 0 else 0.0

    @property
    def total(self) -> float:
        """Reasons + others + bias."""
        return sum(reason.contribution for reason in self.reasons) + self.others_contribution + self.bias

    @property
    def adds_up(self) -> bool:
        """Whether the total is the score, within 1e-5 of the sum of all that was added."""
        scale = self.absolute + abs(self.bias) + abs(self.score)
        return abs(self.total - self.score) <= 1e-5 * scale + 1e-6

    def lines(self) -> list[Line]:
        """The table's lines, rounded so that they add up; the others take what rounding leaves over."""
        parts = [reason.contribution for reason in self.reasons]
        parts += [self.others_contribution] * bool(self.others) + [self.bias]
        decimals = decimals_for([*parts, self.score])
        absorber = len(self.reasons) if self.others and self.others_contribution else None
        rounded, score = add_up(parts, self.score, decimals, absorber)
        texts = [signed(value, decimals) for value in rounded]
        lines = [Line("reason", text, reason) for text, reason in zip(texts, self.reasons, strict=False)]
        if self.others:
            lines.append(Line("others", texts[-2]))
        return [*lines, Line("bias", texts[-1]), Line("score", signed(score, decimals).removeprefix("+"))]

    def to_dict(self, arrays: bool = False) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return {
            "class": self.class_name,
            "class_index": self.class_index,
            "score": finite(self.score),
            "reasons": [reason.to_dict(arrays) for reason in self.reasons],
            "others": self.others,
            "others_contribution": finite(self.others_contribution),
            "bias": finite(self.bias),
            "share": finite(self.share),
            "adds_up": self.adds_up,
        }
