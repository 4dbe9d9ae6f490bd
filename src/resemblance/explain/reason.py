"""The reasons of an explanation: the contributions of prototypes, or of paths through several, to a score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resemblance.explain.prototype_view import PrototypeView
from resemblance.explain.reason_map import NO_MAP, Mapped, ReasonMap
from resemblance.explain.rounding import finite


@dataclass(frozen=True)
class Step(Mapped):
    """One step of a reason that is a path: the image has the prototype, or lacks it.

    Args:
        prototype: the prototype that is looked for.
        present: whether the path continues because the prototype is present, or else because it is absent.
        probability: the probability of this step.
        map: what is drawn over the image, with the place that is compared.
    """

    prototype: PrototypeView
    present: bool
    probability: float
    map: ReasonMap = NO_MAP

    def __repr__(self) -> str:
        verb = "has" if self.present else "lacks"
        return f"<{verb} {self.prototype.title}, probability {self.probability:.3g}>"

    def to_dict(self, arrays: bool = False) -> dict[str, Any]:
        """Return a dictionary that JSON can hold; the map and the picture are included only if ``arrays``."""
        record = self.prototype.to_dict(arrays) | {
            "present": self.present,
            "probability": finite(self.probability),
            "box": list(self.box) if self.box else None,
            "percentile_box": list(self.percentile_box) if self.percentile_box else None,
            "check": None if self.check is None else self.check.to_dict(),
        }
        if arrays:
            record["heat"] = None if self.heat is None else self.heat.tolist()
        return record


@dataclass(frozen=True)
class Reason(Mapped):
    """The contribution of one prototype, or of a path through several, to the score of a class.

    Args:
        prototype: the prototype.
        similarity: the similarity of the image to the prototype.
        contribution: the value that is added to the score.
        weight: the factor between the similarity and the contribution, if there is one.
        map: what is drawn over the image, with the place that is compared.
        steps: the steps, if the reason is a path; ``prototype`` is then the last one, ``similarity`` the probability
            of the path and ``weight`` the probability of the class in its leaf.

    Example:
        >>> reason = Reason(PrototypeView(3, ("cat",)), similarity=2.0, contribution=3.0, weight=1.5)
        >>> reason.to_dict()["contribution"]
        3.0
    """

    prototype: PrototypeView
    similarity: float
    contribution: float
    weight: float | None = None
    map: ReasonMap = NO_MAP
    steps: tuple[Step, ...] = ()

    @property
    def speaks_against(self) -> bool:
        """Whether it lowers the score of the class."""
        return self.contribution < 0

    def __repr__(self) -> str:
        path = f"path of {len(self.steps)} steps to " if self.steps else ""
        numbers = f"similarity {self.similarity:.3g}, contribution {self.contribution:+.3g}"
        return f"<{path}{self.prototype.title}, {self.prototype.owner}: {numbers}>"

    def to_dict(self, arrays: bool = False) -> dict[str, Any]:
        """Return a dictionary that JSON can hold; the map and the picture are included only if ``arrays``."""
        record: dict[str, Any] = self.prototype.to_dict(arrays) | {
            "similarity": finite(self.similarity),
            "weight": finite(self.weight),
            "contribution": finite(self.contribution),
            "speaks_against": self.speaks_against,
            "box": list(self.box) if self.box else None,
            "percentile_box": list(self.percentile_box) if self.percentile_box else None,
            "check": None if self.check is None else self.check.to_dict(),
        }
        if self.steps:
            record["steps"] = [step.to_dict(arrays) for step in self.steps]
        if arrays:
            record["heat"] = None if self.heat is None else self.heat.tolist()
        return record
