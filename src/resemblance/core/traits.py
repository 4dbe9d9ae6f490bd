"""What a model can do, and how its answers are to be read: data that tests, reports and explanations ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from resemblance.config.words import PROTOTYPES, Words

ScoreKind = Literal["logit", "probability", "votes"]


@dataclass(frozen=True)
class Traits:
    """What a model can do. What it cannot do is left out by whoever asks, who says so.

    Args:
        score_kind: what a score is: ``logit``, ``probability`` or ``votes``.
        order: by what reports order the reasons.
        words: what its prototypes, and the numbers beside them, are called.
        maps: similarities have a place in the image.
        projects: prototypes become training patches or images ("push").
        prunes: prototypes can be dropped after projection.
        decodes: a prototype can be decoded to an image.
        differentiable: scores have gradients with respect to the image.
        sources: prototypes that do not project have their source among the images of their ``own`` classes, or of
            ``all``.
        boxes_before_push: the box of a projected prototype is cut from its map before it became the patch.
        head_groups: parameter groups that read nothing but the similarities: while only these train, similarities
            are computed once (`PrototypeModel.rescore`).

    Example:
        >>> Traits(maps=True).score_kind
        'logit'
    """

    score_kind: ScoreKind = "logit"
    order: Literal["contribution", "similarity"] = "contribution"
    words: Words = PROTOTYPES
    maps: bool = False
    projects: bool = False
    prunes: bool = False
    decodes: bool = False
    differentiable: bool = True
    sources: Literal["own", "all"] = "own"
    boxes_before_push: bool = False
    head_groups: frozenset[str] = frozenset()
