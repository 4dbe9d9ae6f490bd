"""What a model answers, and how the answer splits into reasons."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Output:
    """The self-sufficient answer of a model to a batch of images.

    Args:
        scores: (B, C) float32, or float64 where the model is double; the argmax is the prediction.
        similarities: (B, P) likewise, pooled over the image; (B, 0) for a model without prototypes.
        latents: what the head read: a map (B, D, H, W) or embeddings (B, E).
        extras: whatever the method computed on the way and its loss or evidence needs.
        members: the outputs that an ensemble has put together.
    """

    scores: Tensor
    similarities: Tensor
    latents: Tensor
    extras: dict[str, Tensor] = field(default_factory=dict)
    members: tuple[Output, ...] = ()


@dataclass
class Paths:
    """The ways to the reasons of a model whose reasons are paths through a tree of prototypes.

    Args:
        prototypes: (R, S) int64, the prototypes asked for on each way, in order; −1 past its end.
        present: (R, S) bool, whether the way goes on because the prototype is there, or because it is not.
    """

    prototypes: Tensor
    present: Tensor

    @property
    def last(self) -> Tensor:
        """(R,) the last prototype of each way."""
        ends = (self.prototypes >= 0).sum(dim=1, keepdim=True) - 1
        return self.prototypes.gather(1, ends)[:, 0]


@dataclass
class Evidence:
    """The score of one class an image, taken apart.

    ``contributions.sum(1) + bias`` equals the score that the model computed.

    Args:
        contributions: (B, R), one column a reason.
        bias: (B,), the part of the score that no reason carries.
        prototypes: (R,) int64, the prototype behind each reason.
        weights: (B, R), the factor between similarity and contribution; None where there is none.
        similarities: (B, R), shown as the similarity of each reason; None: that of its prototype.
        paths: where reasons are paths: ``prototypes`` are then their last ones, ``weights`` the class's probability at
            their ends, ``similarities`` their own probabilities.
    """

    contributions: Tensor
    bias: Tensor
    prototypes: Tensor
    weights: Tensor | None = None
    similarities: Tensor | None = None
    paths: Paths | None = None
