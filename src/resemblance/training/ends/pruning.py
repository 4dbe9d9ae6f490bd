"""Pruning: drop prototypes whose nearest training images are mostly of other classes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.batch import Batch, EncodedBatch
from resemblance.training.ends.actions import ActionContext, action
from resemblance.training.ends.passes import evaluating, latents_of, training_images

UNKNOWN = torch.iinfo(torch.int64).max


@dataclass(frozen=True)
class PruningReport:
    """The result of pruning.

    Args:
        kept: indices, before pruning, of the prototypes that were kept.
        dropped: indices, before pruning, of the prototypes that were dropped.
        dropped_by_class: class name → how many were dropped.
        spared: indices, before pruning, of those that were kept only because their class had no better one.
        own: (P,) how many of the nearest images belong to one of the prototype's classes.
    """

    kept: tuple[int, ...]
    dropped: tuple[int, ...]
    dropped_by_class: dict[str, int] = field(default_factory=dict)
    spared: tuple[int, ...] = ()
    own: tuple[int, ...] = ()

    def lines(self) -> list[str]:
        """Return the report as sentences."""
        lines = [f"pruned {len(self.dropped)} of {len(self.kept) + len(self.dropped)} prototypes"]
        if self.spared:
            lines.append(f"{len(self.spared)} were kept only because their class would have none left")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values, for JSON."""
        return {
            "kept": list(self.kept),
            "dropped": list(self.dropped),
            "dropped_by_class": dict(self.dropped_by_class),
            "spared": list(self.spared),
        }


class NearestImages:
    """The k images nearest to each prototype so far, of all classes; an image is as near as its nearest patch.

    Ties go to the lowest image index, whatever the order of the batches.

    Args:
        count: the number of prototypes, P.
        k: how many images to keep.
        device: the device of the tensors.
    """

    def __init__(self, count: int, k: int, device: torch.device) -> None:
        self.k = k
        self.values = torch.full((0, count), torch.inf, device=device)
        self.indices = torch.zeros((0, count), dtype=torch.int64, device=device)
        self.labels = torch.zeros((0, count), dtype=torch.int64, device=device)

    def update(self, values: Tensor, labels: Tensor, indices: Tensor) -> None:
        """Update with a batch: values (B, P), labels (B,), indices (B,)."""
        columns = values.shape[1]
        values = torch.cat([self.values, values])
        labels = torch.cat([self.labels, labels[:, None].expand(-1, columns)])
        indices = torch.cat([self.indices, indices[:, None].expand(-1, columns)])
        order = indices.argsort(dim=0)
        order = order.gather(0, values.gather(0, order).argsort(dim=0, stable=True))[: self.k]
        self.values, self.labels, self.indices = (
            tensor.gather(0, order) for tensor in (values, labels, indices)
        )


def prune(
    model: Classifier,
    loader: Iterable[Batch | EncodedBatch],
    *,
    k: int = 6,
    threshold: int = 3,
    progress: bool = False,
) -> PruningReport:
    """Drop each prototype of whose ``k`` nearest images fewer than ``threshold`` belong to its classes.

    Each image counts once, with its nearest patch. In the paper a class none of whose prototypes passes is left
    without any; here its prototype with the most images of the class is kept (of several, the one with the lowest
    index), and the report says so. Prototypes without owners are kept. Source: Chen et al. 2019, section 2.5 and
    supplement S3.

    Args:
        model: with the trait ``prunes``, after projection.
        loader: the un-augmented training images of all classes.
        k: how many nearest images to consider; all images, where there are fewer.
        threshold: how many of them must belong to the prototype's classes.
        progress: whether to show a bar.

    Raises:
        UserError: if the model does not prune, the numbers do not fit, or there are no images.
    """
    if not isinstance(model, PrototypeModel) or not model.traits.prunes:
        raise UserError(f"{model.name} does not prune its prototypes")
    if not 1 <= threshold <= k:
        raise UserError(f"pruning needs 1 <= threshold <= k, not a threshold of {threshold} with k = {k}")
    prototypes = model.prototypes
    with evaluating(model):
        nearest = NearestImages(len(prototypes), k, model.device)
        for latents, labels, indices in latents_of(model, loader, "pruning", progress):
            nearest.update(prototypes.match(latents).values, labels, indices)
        if len(nearest.labels) == 0:
            raise UserError("there are no training images to prune by")
    owners = prototypes.owners
    own = owners[torch.arange(len(owners), device=owners.device), nearest.labels].sum(dim=0)
    passed = (own >= threshold) | ~owners.any(dim=1)
    spared = best_of_empty_classes(owners, own, passed)
    kept = (passed | spared).nonzero().flatten()
    names = prototypes.owner_names(model.spec.classes)
    dropped = (~(passed | spared)).nonzero().flatten().tolist()
    by_class: dict[str, int] = {}
    for name in (name for j in dropped for name in names[j]):
        by_class[name] = by_class.get(name, 0) + 1
    if dropped:
        model.keep(kept)
    return PruningReport(
        tuple(kept.tolist()),
        tuple(dropped),
        by_class,
        tuple((spared & ~passed).nonzero().flatten().tolist()),
        tuple(own.tolist()),
    )


@action("prune")
def _prune(model: Classifier, context: ActionContext) -> None:
    report = prune(model, training_images(model, context), progress=context.progress)
    context.notes += report.lines()
    context.kept = torch.tensor(report.kept, dtype=torch.int64)


def best_of_empty_classes(owners: Tensor, own: Tensor, passed: Tensor) -> Tensor:
    """Return the best prototype of each class that has prototypes, but none that passed.

    Args:
        owners: (P, C) bool.
        own: (P,) how many of the nearest images belong to the prototype's classes.
        passed: (P,) bool, whether the prototype passed the threshold.

    Returns:
        (P,) bool.

    Example:
        >>> owners = torch.tensor([[True, False], [True, False], [False, True]])
        >>> best_of_empty_classes(owners, torch.tensor([1, 2, 6]), torch.tensor([False, False, True]))
        tensor([False,  True, False])
    """
    emptied = owners.any(dim=0) & ~(owners & passed[:, None]).any(dim=0)
    counts = own[:, None].masked_fill(~owners, -1)  # (P, C)
    positions = torch.arange(len(own), device=own.device)[:, None]
    best = torch.where(counts == counts.amax(dim=0), positions, len(own)).amin(dim=0)
    spared = torch.zeros_like(passed)
    spared[best[emptied]] = True
    return spared
