"""The results of measures: numbers with what they mean, beside what a trivial answer would give."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Value:
    """One number of a measure.

    Args:
        name: its name in files, for instance ``average_drop``.
        title: its name in tables.
        value: the number; NaN where it is not defined.
        better: the direction of better values; None where neither is.
        says: one sentence about this model with this number.
        good: one sentence about what a good value is.
        baseline: what a trivial answer gives on the same images; None if there is none.
        baseline_of: the trivial answer, for instance ``random pixels``.
        deviation: the standard deviation over what the number is the mean of.
        interval: lower and upper end of a 95 % interval.
        count: the number of images, prototypes or pairs that it is computed from.
        of: what is counted, in the plural.
        left_out: the number of those that were left out, by reason.
        share: whether it is a share, in [0, 1].

    Example:
        >>> value = Value("ghosted", "ghosted prototypes", 0.16, "lower", "8 of 50.", "0.", share=True)
        >>> value.arrow, value.text
        ('↓', '0.160')
    """

    name: str
    title: str
    value: float
    better: Better | None
    says: str
    good: str
    baseline: float | None = None
    baseline_of: str = ""
    deviation: float | None = None
    interval: tuple[float, float] | None = None
    count: int | None = None
    of: str = "images"
    left_out: Mapping[str, int] = field(default_factory=dict)
    share: bool = False

    @property
    def arrow(self) -> str:
        """The direction of better values, as an arrow."""
        return {"higher": "↑", "lower": "↓", None: ""}[self.better]

    @property
    def defined(self) -> bool:
        """Whether the number is finite."""
        return math.isfinite(self.value)

    @property
    def text(self) -> str:
        """The number with three decimals; a dash where it is not defined."""
        return number(self.value)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {
            "name": self.name,
            "title": self.title,
            "value": finite(self.value),
            "better": self.better,
            "baseline": finite(self.baseline),
            "baseline_of": self.baseline_of,
            "deviation": finite(self.deviation),
            "interval": None if self.interval is None else [finite(end) for end in self.interval],
            "count": self.count,
            "of": self.of,
            "left_out": {reason: number for reason, number in self.left_out.items() if number},
            "says": self.says,
            "good": self.good,
        }


@dataclass(frozen=True)
class Curve:
    """A curve of a measure, for a figure.

    Args:
        name: what it shows.
        x: the positions.
        y: the values; NaN where undefined.
        baseline: whether it is that of the trivial answer.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    baseline: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {
            "name": self.name,
            "x": [finite(value) for value in self.x],
            "y": [finite(value) for value in self.y],
            "baseline": self.baseline,
        }


@dataclass(frozen=True)
class MeasureResult:
    """The result of a measure for one model.

    Args:
        measure: the measure's name.
        title: its heading.
        meaning: what it measures, in a sentence or two.
        values: its numbers, the most important first.
        curves: its curves.
        details: further lists and tables, JSON-ready.
        notes: sentences about this result.
    """

    measure: str
    title: str
    meaning: str
    values: tuple[Value, ...]
    curves: tuple[Curve, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {
            "title": self.title,
            "meaning": self.meaning,
            "values": [value.to_dict() for value in self.values],
            "curves": [curve.to_dict() for curve in self.curves],
            "details": dict(self.details),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class LeftOut:
    """A measure that does not apply to a model, and why."""

    measure: str
    reason: str

    def to_dict(self) -> dict[str, str]:
        """Return a JSON-ready dictionary."""
        return {"measure": self.measure, "reason": self.reason}


def number(value: float | None) -> str:
    """Return a number for a table: three decimals, fewer for large ones, a dash for none.

    Example:
        >>> number(0.12345), number(-3.0), number(1234.5), number(float("nan"))
        ('0.123', '−3.000', '1234', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    size = abs(value)
    digits = f"{size:.3f}" if size < 100 else f"{size:.0f}"
    return f"−{digits}" if value < 0 and float(digits) else digits


def finite(value: float | None) -> float | None:
    """Return a number as JSON can hold it: None for NaN and infinity."""
    return None if value is None or not math.isfinite(value) else float(value)
