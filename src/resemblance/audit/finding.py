"""The result of a check: a verdict in plain words, its numbers, and example pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from resemblance.metrics.suite.result import Value

Verdict = Literal["passed", "doubtful", "failed", "information"]


@dataclass(frozen=True)
class Example:
    """An example picture.

    Args:
        title: a line above it.
        png: the picture, as the bytes of a PNG file.
        caption: a sentence about what it shows.
    """

    title: str
    png: bytes
    caption: str = ""


@dataclass(frozen=True)
class Finding:
    """What a check found in one model.

    Args:
        check: the name of the check.
        title: its heading.
        verdict: ``passed``, ``doubtful`` or ``failed``; ``information`` where no answer is better than another.
        sentence: the verdict in one plain sentence, with the number that it rests on.
        meaning: what the check does, and what follows from its result, in a sentence or two.
        values: its numbers, the most important first; thresholds name them.
        cure: what can be done about it; empty if nothing is wrong.
        examples: example pictures.
        details: further lists and tables, JSON-ready.
        notes: sentences about this result: what was left out, how far it can be trusted.

    Example:
        >>> value = Value("nonsense", "nonsense", 0.0, "lower", "0 of 300.", "0.", share=True)
        >>> finding = Finding("nonsense", "Nonsense", "passed", "None is answered.", "Shows noise.", (value,))
        >>> finding.to_dict()["verdict"], finding.value("nonsense").text, finding.value("other")
        ('passed', '0.000', None)
    """

    check: str
    title: str
    verdict: Verdict
    sentence: str
    meaning: str
    values: tuple[Value, ...] = ()
    cure: str = ""
    examples: tuple[Example, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def value(self, name: str) -> Value | None:
        """Return the number of that name; None if there is none."""
        return next((value for value in self.values if value.name == name), None)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary, without the pictures."""
        return {
            "check": self.check,
            "title": self.title,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "meaning": self.meaning,
            "cure": self.cure,
            "values": [value.to_dict() for value in self.values],
            "details": dict(self.details),
            "notes": list(self.notes),
        }
