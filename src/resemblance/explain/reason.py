"""The reasons of an explanation: a prototype's part in the score of a class, or that of a path through several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resemblance.explain.prototype_view import PrototypeView
from resemblance.explain.rounding import finite
from resemblance.prototypes.gallery import Box


@dataclass(frozen=True)
class Step:
    """A question on the way to a reason that is a path: is the prototype there?

    Args:
        prototype: the prototype that is asked for.
        present: the path goes on because it is there; else because it is not.
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
        """Return a JSON-ready dictionary; the map and the picture as nested lists only if ``arrays``."""
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

    Example:
        >>> reason = Reason(PrototypeView(3, ("cat",)), similarity=2.0, contribution=3.0, weight=1.5)
        >>> reason.to_dict()["contribution"]
        3.0
    """

    prototype: PrototypeView
    similarity: float
    contribution: float
    weight: float | None = None
    heat: NDArray[np.float32] | None = None
    box: Box | None = None
    steps: tuple[Step, ...] = ()

    def to_dict(self, arrays: bool = False) -> dict[str, Any]:
        """Return a JSON-ready dictionary; the map and the picture as nested lists only if ``arrays``."""
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
