"""Break the score of a class down into the reasons that are shown, with the details of their prototypes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from resemblance.core.output import Output
from resemblance.core.prototype_model import PrototypeModel
from resemblance.explain.prototype_view import PrototypeView
from resemblance.explain.reason import Reason, Step
from resemblance.explain.reason_map import NO_MAP, ReasonMap
from resemblance.explain.score_breakdown import ScoreBreakdown
from resemblance.explain.selection import Selection


@dataclass(frozen=True)
class PrototypeDetails:
    """The details of the prototypes that are shown; maps and similarities by image and prototype."""

    views: dict[int, PrototypeView]
    maps: dict[tuple[int, int], ReasonMap]
    similarities: dict[tuple[int, int], float]

    def map(self, row: int, prototype: int) -> ReasonMap:
        """Return the map with its box and its check, `NO_MAP` where there is none."""
        return self.maps.get((row, prototype), NO_MAP)

    def steps(self, row: int, path: list[tuple[int, bool]]) -> tuple[Step, ...]:
        """Return the steps of a path; a prototype's similarity is the probability that it is present."""
        presence = [self.similarities[row, prototype] for prototype, _ in path]
        return tuple(
            Step(self.views[p], present, value if present else 1 - value, self.map(row, p))
            for (p, present), value in zip(path, presence, strict=True)
        )


def pair_similarities(output: Output, pairs: list[tuple[int, int]]) -> list[float]:
    """Return the similarities of pairs of image and prototype."""
    if not pairs:
        return []
    index = torch.tensor(pairs, device=output.similarities.device)
    values: list[float] = output.similarities.float()[index[:, 0], index[:, 1]].tolist()
    return values


def breakdown(
    model: PrototypeModel,
    selection: Selection,
    row: int,
    scores: np.ndarray[Any, np.dtype[np.float32]],
    details: PrototypeDetails,
) -> ScoreBreakdown:
    """Return the score of an image's class, broken down into the reasons shown, all others and the bias.

    Args:
        model: the model.
        selection: the reasons for the class of each image.
        row: the image.
        scores: (C,) of the image.
        details: of the prototypes.
    """
    contributions = selection.evidence.contributions[row].double()
    hidden = torch.ones_like(contributions, dtype=torch.bool)
    hidden[selection.shown[row]] = False
    others = contributions[hidden]
    index = int(selection.classes[row])
    return ScoreBreakdown(
        class_index=index,
        class_name=model.spec.classes[index],
        score=float(scores[index]),
        reasons=tuple(shown_reasons(selection, row, details)),
        others=len(others),
        others_for=float(others.clamp_min(0).sum()),
        others_against=float(others.clamp_max(0).sum()),
        bias=float(selection.evidence.bias[row]),
        reference=None if selection.references is None else selection.references[row],
    )


def shown_reasons(selection: Selection, row: int, details: PrototypeDetails) -> list[Reason]:
    """Return the reasons that are shown for an image, best first."""
    evidence, shown = selection.evidence, selection.shown[row]
    weights = [None] * len(shown) if evidence.weights is None else evidence.weights[row, shown].tolist()
    return [
        Reason(
            details.views[prototype],
            similarity,
            contribution,
            weight,
            details.map(row, prototype),
            steps=details.steps(row, path),
        )
        for prototype, similarity, contribution, weight, path in zip(
            selection.prototypes(row),
            selection.similarities[row, shown].tolist(),
            evidence.contributions[row, shown].tolist(),
            weights,
            selection.paths(row),
            strict=True,
        )
    ]
