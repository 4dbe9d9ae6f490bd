"""Traits: what a model can do and how to read its scores, as data for tests, reports and explanations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from resemblance.config.words import PROTOTYPES, Words

ScoreKind = Literal["logit", "probability", "votes"]


@dataclass(frozen=True)
class Traits:
    """What a model can do and how to read its scores. Callers leave out what it cannot do, and say so.

    Args:
        score_kind: the kind of its scores: ``logit``, ``probability`` or ``votes``.
        order: the number by which reports order the reasons.
        words: the names of its prototypes, and of the numbers beside them.
        maps: similarities belong to places in the image.
        projects: prototypes become training patches or images ("push").
        prunes: prototypes can be dropped after projection.
        decodes: a prototype can be decoded to an image.
        differentiable: scores have gradients with respect to the image.
        sources: the source of a prototype that does not project is searched among the images of its ``own`` classes,
            or of ``all``.
        boxes_before_push: the box of a projected prototype is cut from its map before projection.
        head_groups: parameter groups that read only the similarities: while only these are trained, similarities
            are computed once (`PrototypeModel.rescore`).
        encoder_groups: parameter groups of the encoder, ``model.encoder``, that `Classifier.encode` reads: while none
            of these is trained, its results are computed once. Empty where a method defines `latents` as a whole.

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
    encoder_groups: frozenset[str] = frozenset()
