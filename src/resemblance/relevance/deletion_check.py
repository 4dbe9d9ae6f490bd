"""The result of a deletion check, as data and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SAID = 0.1  # the share of pixels that the sentence names, or the nearest one
NO_BREAK = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class DeletionCheck:
    """What is left of a similarity, or of a score, when the pixels that a map marks are removed.

    Args:
        shares: the shares of pixels that are removed, ascending; the first is 0.
        marked: the value that is left at each share when the pixels marked most strongly are removed.
        random: the mean value that is left when random places of the same size and shape are removed.
        spread: the standard deviation of these values over the draws of places.
        better: whether the marked pixels lower the value, on average over the shares, by more than random places and
            one standard deviation of these.
        empty: whether the map is zero everywhere, so that it marks nothing and the pixels are random.
        subject: the name of the value.

    Example:
        >>> check = DeletionCheck((0.0, 0.1, 0.5), (2.0, 0.76, 0.4), (2.0, 1.84, 1.2), (0.0, 0.1, 0.2), better=True)
        >>> print(check.sentence().replace(NO_BREAK, " "))  # doctest: +NORMALIZE_WHITESPACE
        Removing the 10 % of pixels that this map marks lowers the similarity by 62 %; random places of the same size by
        8 %.
        >>> check.warning
        ''
    """

    shares: tuple[float, ...]
    marked: tuple[float, ...]
    random: tuple[float, ...]
    spread: tuple[float, ...]
    better: bool
    empty: bool = False
    subject: str = "similarity"

    @property
    def relative(self) -> bool:
        """Whether changes are shares of the value: it is positive, and so is whatever is left of it."""
        return self.marked[0] > 0 and min(*self.marked, *self.random) >= 0

    def sentence(self) -> str:
        """Return in one sentence what the removal of the marked pixels does, and of random places; then the warning."""
        if self.empty:
            return "This map is empty: no pixel has any relevance."
        at = min(range(1, len(self.shares)), key=lambda i: abs(self.shares[i] - SAID))
        text = f"Removing the {_percent(self.shares[at])} of pixels that this map marks "
        places = "random places of the same size"
        if self.relative:
            marked, random = (1 - values[at] / self.marked[0] for values in (self.marked, self.random))
            text += f"{_verb(marked)}s the {self.subject} by {_percent(marked)}; {places} "
            verb = "" if _verb(marked) == _verb(random) else f"{_verb(random)} it "
            text += f"{verb}by {_percent(random)}."
        else:
            text += f"takes the {self.subject} from {_number(self.marked[0])} to {_number(self.marked[at])}; "
            text += f"{places}, to {_number(self.random[at])}."
        return f"{text} {self.warning}".rstrip()

    @property
    def warning(self) -> str:
        """A sentence if the map does no better than random places; else empty."""
        if self.better or self.empty:
            return ""
        return "Warning: over the whole curve, this map does no better than random places."

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold."""
        return {
            "shares": list(self.shares),
            "marked": list(self.marked),
            "random": list(self.random),
            "spread": list(self.spread),
            "better": self.better,
            "empty": self.empty,
            "subject": self.subject,
            "sentence": self.sentence(),
        }


def _percent(lowered: float) -> str:
    return f"{100 * abs(lowered):.0f}{NO_BREAK}%"


def _verb(lowered: float) -> str:
    return "raise" if lowered < -0.005 else "lower"


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")
