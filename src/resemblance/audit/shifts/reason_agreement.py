"""How far a model gives the same reasons for two versions of an image; pure functions of its outputs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from resemblance.audit.total_contributions import total_contributions
from resemblance.core.output import Output
from resemblance.core.prototype_model import PrototypeModel
from resemblance.prototypes.layer import PrototypeLayer


class Reasons(NamedTuple):
    """What a model answers for a batch of images, on the CPU.

    Args:
        predicted: (B,) int64.
        similarities: (B, P) float64.
        shown: (B, P) bool, the prototypes that an explanation of the prediction shows first.
    """

    predicted: Tensor
    similarities: Tensor
    shown: Tensor


class Agreement(NamedTuple):
    """The agreement of two versions of images; each entry (B,) float64, NaN where it is not defined.

    Args:
        overlap: the share of the prototypes shown that both versions have in common.
        rank_correlation: Spearman's correlation of the similarities to all prototypes.
        own_rank_correlation: the same for the prototypes of one class.
        kept: 1 where the predicted classes are equal, else 0.
        first_top: the largest similarity of the first version.
        first_top_after: the similarity of the second version to the same prototype.
        second_top: the largest similarity of the second version.
        second_top_after: the similarity of the first version to the same prototype.
    """

    overlap: Tensor
    rank_correlation: Tensor
    own_rank_correlation: Tensor
    kept: Tensor
    first_top: Tensor
    first_top_after: Tensor
    second_top: Tensor
    second_top_after: Tensor


@torch.no_grad()
def reasons_of(model: PrototypeModel, images: Tensor, top: int) -> Reasons:
    """Ask a model for its predictions and its reasons.

    Args:
        model: in evaluation mode.
        images: (B, C, H, W) in [0, 1], on its device.
        top: the number of prototypes that an explanation shows; see `shown_prototypes`.
    """
    output: Output = model(images)
    predicted = output.scores.argmax(dim=1)
    shown = shown_prototypes(model, output, predicted, top)
    return Reasons(predicted.cpu(), output.similarities.cpu().double(), shown.cpu())


def shown_prototypes(model: PrototypeModel, output: Output, classes: Tensor, top: int) -> Tensor:
    """Return which prototypes an explanation of ``classes`` (B,) shows first, (B, P) bool.

    The order is the method's: by contribution (of equal ones the more similar comes first, and those that contribute
    nothing are left out) or by similarity; ``top`` of them, but see `shown_count`.
    """
    similarities = output.similarities
    count = shown_count(model.prototypes, top)
    order = similarities.argsort(dim=1, descending=True, stable=True)
    if model.traits.order == "similarity":
        return torch.zeros_like(similarities, dtype=torch.bool).scatter(1, order[:, :count], True)
    contributions = total_contributions(model.evidence(output, classes), len(model.prototypes))
    ranked = contributions.gather(1, order).argsort(dim=1, descending=True, stable=True)
    chosen = order.gather(1, ranked)[:, :count]
    return (contributions != 0) & torch.zeros_like(contributions, dtype=torch.bool).scatter(1, chosen, True)


def shown_count(prototypes: PrototypeLayer, top: int) -> int:
    """Return how many prototypes count as shown: ``top``, but at most half of those of a class, and at least one.

    All prototypes of the predicted class would be the same ones whenever the prediction stays. Where prototypes belong
    to no class, half of all of them.

    Example:
        >>> [shown_count(PrototypeLayer(PrototypeLayer.class_major(per_class, 3)), 5) for per_class in (1, 4, 10, 20)]
        [1, 2, 5, 5]
    """
    owners = prototypes.owners
    most = int(owners.sum(dim=0).max()) if owners.any() else len(owners)
    return min(top, max(1, most // 2))


def agreement(first: Reasons, second: Reasons, own: Tensor | None = None) -> Agreement:
    """Compare the reasons for two versions of the same images.

    Args:
        first: of the one version.
        second: of the other version.
        own: (B, P) bool, the prototypes of one class per image; None if prototypes belong to no class.

    Example:
        >>> similarities = torch.tensor([[3.0, 2.0, 1.0, 0.0]], dtype=torch.float64)
        >>> shown = torch.tensor([[True, True, False, False]])
        >>> first = Reasons(torch.tensor([0]), similarities, shown)
        >>> second = Reasons(torch.tensor([1]), similarities.flip(1), shown.flip(1))
        >>> [round(value.item(), 6) for value in agreement(first, second)]
        [0.0, -1.0, nan, 0.0, 3.0, 0.0, 3.0, 0.0]
        >>> [round(value.item(), 6) for value in agreement(first, first, shown)]
        [1.0, 1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 3.0]
    """
    a, b = first.similarities, second.similarities
    undefined = torch.full((len(a),), torch.nan, dtype=torch.float64)
    first_top, second_top = (values.argmax(dim=1, keepdim=True) for values in (a, b))
    return Agreement(
        overlap=overlap(first.shown, second.shown),
        rank_correlation=similarity_rank_correlation(a, b),
        own_rank_correlation=undefined if own is None else similarity_rank_correlation(a, b, own),
        kept=(first.predicted == second.predicted).double(),
        first_top=a.gather(1, first_top)[:, 0],
        first_top_after=b.gather(1, first_top)[:, 0],
        second_top=b.gather(1, second_top)[:, 0],
        second_top_after=a.gather(1, second_top)[:, 0],
    )


def overlap(first: Tensor, second: Tensor) -> Tensor:
    """Return the size of the intersection of two sets by that of the larger one, (B, P) bool → (B,) float64.

    NaN where both are empty.

    Example:
        >>> overlap(torch.tensor([[True, True, False]]), torch.tensor([[False, True, False]]))
        tensor([0.5000], dtype=torch.float64)
    """
    larger = torch.maximum(first.sum(dim=1), second.sum(dim=1))
    return (first & second).sum(dim=1).double() / larger


def similarity_rank_correlation(first: Tensor, second: Tensor, among: Tensor | None = None) -> Tensor:
    """Return Spearman's correlation of similarities (B, P), image by image, on the CPU: (B,) float64.

    Equal similarities share their mean rank. NaN where the similarities are all equal, are fewer than two, or have
    values that are not finite: then there is no order to compare.

    Args:
        first: of the one version.
        second: of the other version.
        among: (B, P) bool, the prototypes that count; by default all.

    Example:
        >>> first, second = torch.tensor([[1.0, 2.0, 3.0, 9.0]]), torch.tensor([[1.0, 4.0, 2.0, 0.0]])
        >>> among = torch.tensor([[True, True, True, False]])
        >>> round(similarity_rank_correlation(first, second, among).item(), 9)
        0.5
    """
    mask = torch.ones_like(first, dtype=torch.bool) if among is None else among
    counts = mask.sum(dim=1, keepdim=True)
    centred, usable = [], counts[:, 0] > 1
    for values in (first, second):
        usable = usable & (values.isfinite() | ~mask).all(dim=1)
        # The others come last and share one rank, so they do not change the ranks of those that count.
        ranks = torch.from_numpy(
            np.asarray(rankdata(values.double().masked_fill(~mask, torch.inf).numpy(), axis=1))
        )
        ranks = ranks.double().masked_fill(~mask, 0)
        centred.append((ranks - ranks.sum(dim=1, keepdim=True) / counts).masked_fill(~mask, 0))
    norms = centred[0].norm(dim=1) * centred[1].norm(dim=1)
    correlations: Tensor = (centred[0] * centred[1]).sum(dim=1) / norms
    return correlations.masked_fill((norms == 0) | ~usable, torch.nan).clamp(-1, 1)
