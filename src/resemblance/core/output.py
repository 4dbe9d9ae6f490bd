"""The output of a model, and its evidence: the scores split into reasons."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Output:
    """The output of a model for a batch of images; it holds everything that loss and evidence need.

    Args:
        scores: (B, C) float32, or float64 where the model is double; the argmax is the prediction.
        similarities: (B, P) of the same type, pooled over the image; (B, 0) for a model without prototypes.
        latents: the input of the head: a map (B, D, H, W) or embeddings (B, E).
        extras: intermediate results that the method's loss or evidence needs.
        members: for an ensemble, the outputs of its members.
    """

    scores: Tensor
    similarities: Tensor
    latents: Tensor
    extras: dict[str, Tensor] = field(default_factory=dict)
    members: tuple[Output, ...] = ()

    @property
    def finite(self) -> Tensor:
        """(B,) bool: whether scores and latents are finite and no similarity is NaN; it does not wait for the device.

        The argmax of NaN is a class like any other, so a model with damaged weights would seem to predict it. Scores
        alone do not show it: the leaf that a tree of NaN reaches has finite probabilities, and parts that move to NaN
        read the zeros outside the image.
        """
        finite = self.scores.isfinite().all(dim=1) & ~self.similarities.isnan().any(dim=1)
        if not self.members:
            return finite & self.latents.flatten(1).sum(dim=1, dtype=torch.float32).isfinite()
        for member in self.members:
            finite &= member.finite.to(finite.device)
        return finite


@dataclass
class Paths:
    """The paths to the leaves, for a model whose reasons are paths through a tree of prototypes.

    Args:
        prototypes: (R, S) int64, the prototypes on each path, in order; −1 past its end.
        present: (R, S) bool, whether the path continues on the branch where the prototype is present, or absent.
    """

    prototypes: Tensor
    present: Tensor

    @property
    def last(self) -> Tensor:
        """The last prototype of each path, (R,)."""
        ends = (self.prototypes >= 0).sum(dim=1, keepdim=True) - 1
        return self.prototypes.gather(1, ends)[:, 0]


@dataclass
class Evidence:
    """The score of one class per image, split into contributions.

    ``contributions.sum(1) + bias`` equals the score that the model computed.

    Args:
        contributions: (B, R), one column per reason.
        bias: (B,), the part of the score that belongs to no reason.
        prototypes: (R,) int64, the prototype of each reason.
        weights: (B, R), the factor between similarity and contribution; None where there is none.
        similarities: (B, R), the similarity shown for each reason; None: that of its prototype.
        paths: given where reasons are paths: then ``prototypes`` are their last ones, ``weights`` the class's
            probabilities at their leaves, and ``similarities`` the probabilities of the paths.
    """

    contributions: Tensor
    bias: Tensor
    prototypes: Tensor
    weights: Tensor | None = None
    similarities: Tensor | None = None
    paths: Paths | None = None
