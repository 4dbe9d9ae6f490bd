"""Break down the score of a class into contributions that add up to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from resemblance.explain.against.compared_with import Reference
from resemblance.explain.reason import Reason
from resemblance.explain.rounding import add_up, decimals_for, finite, number_text, signed

TOLERANCE = 1e-5  # relative to Σ|contributions| + |bias|, the numbers that the model rounded


@dataclass(frozen=True)
class Line:
    """A rounded line of the table that adds up; only lines of kind ``reason`` have a ``reason``."""

    kind: Literal["reason", "others", "bias", "score"]
    value: str
    reason: Reason | None = None


@dataclass(frozen=True)
class ScoreBreakdown:
    """The score of one class, or its difference from a reference: reasons shown + the other reasons + bias.

    Sums are computed in float64 (Python's floats), so that they add no rounding error to the model's own.

    Args:
        class_index: the index of the class.
        class_name: its name.
        score: the score that the model computed.
        reasons: the reasons shown.
        others: the number of reasons not shown.
        others_for: the sum of their positive contributions.
        others_against: the sum of their negative contributions.
        bias: the part of the score that belongs to no reason.
        reference: what is subtracted from the score, reason by reason; None for the plain score.

    Example:
        >>> from resemblance.explain.prototype_view import PrototypeView
        >>> reason = Reason(PrototypeView(3, ("cat",)), similarity=2.0, contribution=2.0, weight=1.0)
        >>> breakdown = ScoreBreakdown(0, "cat", 1.5, (reason,), others=9, others_for=0.5, others_against=-1.0)
        >>> round(breakdown.share, 3), [line.value for line in breakdown.lines()]
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
    reference: Reference | None = None

    @property
    def difference(self) -> float:
        """What the contributions add up to: the score minus that of the reference, or the score itself."""
        return self.score - (0.0 if self.reference is None else self.reference.score)

    def __repr__(self) -> str:
        return f"<score {self.score:.3g} of {self.class_name}: {len(self.reasons)} reasons and {self.others} others>"

    @property
    def others_contribution(self) -> float:
        """The sum of the contributions of the reasons not shown."""
        return self.others_for + self.others_against

    @property
    def absolute(self) -> float:
        """Σ|contribution| over all reasons."""
        shown = sum(abs(reason.contribution) for reason in self.reasons)
        return shown + self.others_for - self.others_against

    @property
    def share(self) -> float:
        """Σ|contribution| of the reasons shown over that of all; 0 if no reason contributes."""
        shown = sum(abs(reason.contribution) for reason in self.reasons)
        return shown / self.absolute if self.absolute > 0 else 0.0

    @property
    def outweighed(self) -> bool:
        """Whether the reasons shown carry less than half, and their sum less than that of the others.

        Others that cancel each other out do not count: without them, the result would be the same.
        """
        shown = sum(reason.contribution for reason in self.reasons)
        return self.share < 0.5 and abs(self.others_contribution) > abs(shown)

    @property
    def total(self) -> float:
        """Reasons + others + bias."""
        return sum(reason.contribution for reason in self.reasons) + self.others_contribution + self.bias

    @property
    def adds_up(self) -> bool:
        """Whether the total equals the difference within 1e-5 × (Σ|contributions| + |bias|), of both scores if two."""
        size = self.absolute + abs(self.bias) if self.reference is None else self.reference.size
        return abs(self.total - self.difference) <= TOLERANCE * size

    def lines(self) -> list[Line]:
        """Return the table's lines, rounded so that they add up; the other reasons absorb the rounding difference."""
        parts = [reason.contribution for reason in self.reasons]
        parts += [self.others_contribution] * bool(self.others) + [self.bias]
        decimals = decimals_for([*parts, self.difference])
        absorber = len(self.reasons) if self.others and self.others_contribution else None
        rounded, score = add_up(parts, self.difference, decimals, absorber)
        texts = [signed(value, decimals) for value in rounded]
        lines = [Line("reason", text, reason) for text, reason in zip(texts, self.reasons, strict=False)]
        if self.others:
            lines.append(Line("others", texts[-2]))
        return [*lines, Line("bias", texts[-1]), Line("score", number_text(score, decimals))]

    def to_dict(self, arrays: bool = False) -> dict[str, Any]:
        """Return a dictionary that JSON can hold; maps and pictures are included only if ``arrays``."""
        return {
            "class": self.class_name,
            "class_index": self.class_index,
            "score": finite(self.score),
            "against": None if self.reference is None else self.reference.to_dict(),
            "difference": finite(self.difference),
            "reasons": [reason.to_dict(arrays) for reason in self.reasons],
            "others": self.others,
            "others_contribution": finite(self.others_contribution),
            "bias": finite(self.bias),
            "share": finite(self.share),
            "adds_up": self.adds_up,
        }
