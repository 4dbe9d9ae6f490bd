"""Ghosting (D_tsp): prototypes that no training image is most similar to, and how much the others are used."""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from resemblance.config.definition import Definition
from resemblance.metrics.measure import Measure

Classes = Literal["all", "own", "own images"]
CLASSES: tuple[Classes, ...] = ("all", "own", "own images")


class Winners(NamedTuple):
    """The most similar prototype of each image.

    Args:
        prototypes: (B,) int64, −1 where there is none.
        tied: (B,) bool, whether another prototype is as similar.
        undefined: (B,) bool, whether a similarity is NaN.
        unowned: (B,) bool, whether no prototype belongs to the image's class; all false for ``classes="all"``.
        foreign: (B,) bool, whether the winner belongs to other classes; only for ``classes="own images"``.
    """

    prototypes: Tensor
    tied: Tensor
    undefined: Tensor
    unowned: Tensor
    foreign: Tensor


def winners(similarities: Tensor, owned: Tensor, classes: Classes = "all") -> Winners:
    """Return the prototype that each image is most similar to; ties go to the lowest index.

    Args:
        similarities: (B, P).
        owned: (B, P) bool, whether the prototype belongs to the image's class.
        classes: which prototypes compete for which images, see `Ghosting`.

    Example:
        >>> similarities = torch.tensor([[0.9, 0.9, 0.1], [0.2, 0.3, 0.4]])
        >>> owned = torch.tensor([[True, True, False], [True, True, False]])
        >>> winners(similarities, owned).prototypes, winners(similarities, owned, "own").prototypes
        (tensor([0, 2]), tensor([0, 1]))
    """
    competing = owned if classes == "own" else torch.ones_like(owned)
    undefined = (similarities.isnan() & competing).any(dim=1)
    lowest = similarities.masked_fill(~competing, -torch.inf).amax(dim=1, keepdim=True)
    largest = (similarities == lowest) & competing
    count = similarities.shape[1]
    positions = torch.arange(count, device=similarities.device)
    first = torch.where(largest, positions, count).amin(dim=1)
    unowned = ~owned.any(dim=1) if classes != "all" else torch.zeros_like(undefined)
    valid = ~undefined & ~unowned
    first = first.clamp_max(count - 1)
    foreign = valid & ~owned.gather(1, first[:, None])[:, 0] & (classes == "own images")
    chosen = torch.where(valid & ~foreign, first, -1)
    return Winners(chosen, valid & (largest.sum(dim=1) > 1), undefined, unowned & ~undefined, foreign)


class Ghosting(Measure):
    """D_tsp: the share of prototypes that are never the most similar one of any training image; lower is better.

    The printed formula, 1 − Σ_k #{i : argmax_l s(z_i, p_l) = k} / (K N), is 1 − 1/K for every model, since every image
    has one most similar prototype; the published table holds the share of prototypes that are never activated.

    Args:
        owners: (P, C) bool, the classes of each prototype.
        classes: which prototypes compete for which images. ``"all"``: all prototypes for all images. ``"own"``: the
            prototypes of the image's class. ``"own images"``: all prototypes, and a prototype is activated only by
            images of its classes.
        definition: ``"default"`` or ``"paper"``, the printed formula. The authors' code has no such measure.

    Attributes:
        counts: images; ties, images with more than one most similar prototype, of which the first is activated;
            undefined, images left out because of a NaN; unowned, images left out because no prototype belongs to their
            class; foreign, images whose most similar prototype belongs to other classes; ghosted, prototypes.

    Source: Gautam et al. 2024 (KMEx), eq. 1 and table 5.

    Example:
        >>> similarities = torch.tensor([[0.9, 0.1, 0.2], [0.8, 0.3, 0.1], [0.7, 0.2, 0.3], [0.1, 0.6, 0.2]])
        >>> ghosting = Ghosting(torch.eye(3, dtype=torch.bool))
        >>> ghosting.update(similarities, torch.tensor([0, 0, 0, 1]))
        >>> round(ghosting.compute().item(), 4), ghosting.importances().tolist()
        (0.3333, [0.75, 0.25, 0.0])
    """

    higher_is_better = False
    definitions: ClassVar[tuple[Definition, ...]] = ("default", "paper")
    counts: ClassVar[tuple[str, ...]] = ("images", "ties", "undefined", "unowned", "foreign")

    owners: Tensor
    activations: Tensor
    images_of_class: Tensor
    images: Tensor
    ties: Tensor
    undefined: Tensor
    unowned: Tensor
    foreign: Tensor

    def __init__(self, owners: Tensor, classes: Classes = "all", definition: Definition = "default") -> None:
        super().__init__(definition)
        if classes not in CLASSES:
            raise ValueError(f"classes must be one of {', '.join(map(repr, CLASSES))}, not {classes!r}")
        self.classes = classes
        self.register_buffer("owners", owners.bool(), persistent=False)
        self.add_sum("activations", owners.shape[0])
        self.add_sum("images_of_class", owners.shape[1])
        for name in self.counts:
            self.add_sum(name)

    def update(self, similarities: Tensor, labels: Tensor) -> None:
        """Count the winners of a batch.

        Args:
            similarities: (B, P) of training images.
            labels: (B,) their classes.
        """
        labels = labels.to(self.owners.device)
        result = winners(similarities.to(self.owners.device), self.owners.T[labels], self.classes)
        chosen = result.prototypes
        measured = labels[~result.undefined & ~result.unowned]
        self.accumulate(
            activations=torch.bincount(chosen[chosen >= 0], minlength=len(self.owners)),
            images_of_class=torch.bincount(measured, minlength=self.owners.shape[1]),
            images=len(labels),
            ties=result.tied.sum(),
            undefined=result.undefined.sum(),
            unowned=result.unowned.sum(),
            foreign=result.foreign.sum(),
        )

    def compute(self) -> Tensor:
        """Return D_tsp, float64; NaN without images."""
        images = self.images_of_class.sum()
        if self.definition == "paper":
            return 1 - self.activations.sum().double() / (images * len(self.owners))
        ghosts = (self.activations == 0).double().mean()
        return torch.where(images > 0, ghosts, torch.nan)

    def ghosted(self) -> Tensor:
        """Return which prototypes are never activated, (P,) bool."""
        with self.synchronized():
            return self.activations == 0

    def importances(self) -> Tensor:
        """Return the importance of each prototype, (P,) float64 in [0, 1]: its activations as a share of the images.

        Of all images for ``classes="all"``, otherwise of the images of its classes (the figures' "1 − D_tsp"). NaN
        without images.
        """
        with self.synchronized():
            of_class = self.images_of_class
            images = of_class.sum() if self.classes == "all" else (self.owners * of_class).sum(dim=1)
            return self.activations.double() / images
