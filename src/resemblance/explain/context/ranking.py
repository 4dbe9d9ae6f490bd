"""The nearest prototypes of all classes, for methods whose score is the similarity to a single prototype.

There a sum with one summand says nothing: what decides is how much nearer the first prototype is than those of the
other classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from resemblance.core.output import Evidence
from resemblance.core.prototype_model import PrototypeModel
from resemblance.explain.prototype_view import PrototypeView
from resemblance.explain.rounding import decimals_for, finite, number_text
from resemblance.prototypes.layer import PrototypeLayer

SHOWN = 6  # prototypes in the row


@dataclass(frozen=True)
class Ranked:
    """A prototype and how much the image resembles it.

    Args:
        prototype: the prototype.
        similarity: as the model computed it.
    """

    prototype: PrototypeView
    similarity: float


@dataclass(frozen=True)
class Ranking:
    """The nearest prototypes of an image, nearest first; at least one belongs to another class than the first.

    Args:
        nearest: the prototypes; the similarity to the first is the score.
        rival: the place of the nearest prototype of another class in ``nearest``; None if no other class has one.
        without_first: the place of the prototype that would decide if the first were switched off; None if it is alone.
    """

    nearest: tuple[Ranked, ...]
    rival: int | None
    without_first: int | None

    @property
    def margin(self) -> float | None:
        """How much more the image resembles the first prototype than any of another class."""
        if self.rival is None:
            return None
        return self.nearest[0].similarity - self.nearest[self.rival].similarity

    @property
    def scale(self) -> float:
        """The similarity that has a full bar."""
        return max(max(abs(one.similarity) for one in self.nearest), 1e-12)

    def number(self, similarity: float) -> str:
        """Format a similarity, or a difference of two, with the decimals that tell the prototypes apart."""
        return number_text(similarity, decimals_for([one.similarity for one in self.nearest]))

    def sentences(self) -> list[str]:
        """Return the margin, and what would be answered without the first prototype."""
        first, lines = self.nearest[0].prototype, []
        if self.rival is not None and self.margin is not None:
            rival = self.nearest[self.rival].prototype
            lines.append(
                f"The margin over the nearest {first.words.one} of another class, {rival.title} ({rival.owner}), is "
                f"{self.number(self.margin)}."
            )
        if self.without_first is not None:
            second = self.nearest[self.without_first].prototype
            same = set(second.classes) & set(first.classes)
            answer = f"still be {second.owner}" if same else f"be {second.owner}"
            lines.append(f"Without {first.title} the answer would {answer}, by {second.title}.")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold."""
        return {
            "nearest": [
                {
                    "prototype": one.prototype.index,
                    "classes": list(one.prototype.classes),
                    "similarity": finite(one.similarity),
                }
                for one in self.nearest
            ],
            "margin": None if self.margin is None else finite(self.margin),
            "without_first": None
            if self.without_first is None
            else self.nearest[self.without_first].prototype.index,
        }


def decides_alone(model: PrototypeModel, evidence: Evidence) -> bool:
    """Return whether a score is the similarity to one prototype: no weights, no votes, no paths."""
    plain = evidence.weights is None and evidence.paths is None
    return plain and model.traits.score_kind == "logit" and bool(model.prototypes.owners.any())


def nearest_prototypes(layer: PrototypeLayer, similarities: Tensor, shown: int = SHOWN) -> list[list[int]]:
    """Return the prototypes of each image's row, nearest first.

    Args:
        layer: the prototypes with their owners.
        similarities: (B, P).
        shown: their number; the nearest one of another class than the first takes the last place if none is among them.
    """
    first = similarities.argmax(dim=1)
    # (B, P): prototypes that share no class with the first
    others = (layer.owners.float() @ layer.owners[first].float().T).T == 0
    order = similarities.argsort(dim=1, descending=True, stable=True)[:, :shown]
    rivals = similarities.masked_fill(~others, -torch.inf)
    rows: list[list[int]] = order.tolist()
    for row, (rival, known) in enumerate(
        zip(rivals.argmax(dim=1).tolist(), others.any(dim=1).tolist(), strict=True)
    ):
        if known and rival not in rows[row]:
            rows[row] = [*rows[row][: shown - 1], rival]
    return rows


def ranking(
    row: list[int], similarities: Tensor, views: Mapping[int, PrototypeView], owners: Tensor
) -> Ranking:
    """Return the ranking of one image.

    Args:
        row: of `nearest_prototypes`.
        similarities: (P,) of the image.
        views: of the prototypes by index.
        owners: (P, C).
    """
    first = owners[row[0]]
    rival = next((place for place, p in enumerate(row) if not bool((owners[p] & first).any())), None)
    nearest = tuple(Ranked(views[p], float(similarities[p])) for p in row)
    return Ranking(nearest, rival, 1 if len(row) > 1 else None)
