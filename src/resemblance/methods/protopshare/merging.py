"""Merging: prototypes with similar responses become one prototype, which their classes share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.batch import Batch, EncodedBatch
from resemblance.methods.protopshare.model import ProtoPShare
from resemblance.training.ends.actions import ActionContext, action
from resemblance.training.ends.passes import evaluating, latents_of, training_images

EQUAL = 1e-12  # relative difference of sums up to which columns are equal: far below the precision of float32

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class MergeReport:
    """The result of merging.

    Args:
        into: (P,), index of the prototype that each became; its own index, if it was kept.
        differences: (P,), S between a merged prototype and the one that it became, 0 for those that were kept.
        by: what was compared, ``data`` or ``vectors``.
        shared: number of prototypes that now have more than one class.
        most: number of classes of the prototype that has the most.
    """

    into: tuple[int, ...]
    differences: tuple[float, ...] = field(repr=False)
    by: str
    shared: int
    most: int

    @property
    def kept(self) -> tuple[int, ...]:
        """The indices, before merging, of the prototypes that were kept."""
        return tuple(j for j, target in enumerate(self.into) if j == target)

    def lines(self) -> list[str]:
        """Return the report as text."""
        gone = len(self.into) - len(self.kept)
        how = {"data": "by their similarities to the training images", "vectors": "by their vectors"}[self.by]
        line = f"merged {gone} of {len(self.into)} prototypes into others, {how}; {len(self.kept)} are left"
        if self.shared:
            line += f", {self.shared} of them shared by 2 or more classes ({self.most} at most)"
        return [line]

    def to_dict(self) -> dict[str, Any]:
        """Convert to a dictionary of JSON values."""
        return {
            "into": list(self.into),
            "differences": list(self.differences),
            "by": self.by,
            "shared": self.shared,
            "most": self.most,
        }


class PairwiseDifferences:
    """The squared differences between all pairs of columns, summed over images batch by batch, in float64."""

    def __init__(self) -> None:
        self.sums: Tensor | None = None

    def update(self, columns: Tensor) -> None:
        """Add the rows (B, P) of some images."""
        # Subtracting the same from all columns does not change their differences, but smaller numbers round less.
        columns = columns.detach()
        columns = (columns.cpu() if columns.device.type == "mps" else columns).double()
        columns = columns - columns.mean(dim=1, keepdim=True)
        products = columns.T @ columns
        self.sums = products if self.sums is None else self.sums.add_(products)

    def differences(self) -> Matrix:
        """Compute S (P, P), S_ij = Σ_x (a_i(x) − a_j(x))²; exactly 0 for equal columns, infinite on the diagonal.

        Raises:
            UserError: if there are no images, or columns are not finite.
        """
        if self.sums is None:
            raise UserError("there are no training images to merge by")
        squares = self.sums.diagonal()
        sums = squares[:, None] + squares
        differences = sums - self.sums - self.sums.T
        if not bool(differences.isfinite().all()):
            raise UserError("similarities are not finite: training has diverged; lower the learning rates")
        differences = torch.where(differences <= EQUAL * sums, 0.0, differences)
        matrix: Matrix = torch.maximum(differences, differences.T).cpu().numpy()
        np.fill_diagonal(matrix, np.inf)
        return matrix


def nearest_threshold(differences: Matrix, count: int) -> float:
    """Return the ``count``-th smallest difference of a prototype to its nearest (the released code's threshold).

    Example:
        >>> pairs = PairwiseDifferences()
        >>> pairs.update(torch.tensor([[0, 0, 5], [1, 1, 5], [2, 2.1, 5]], dtype=torch.float64))
        >>> threshold = nearest_threshold(pairs.differences(), 2)
        >>> round(threshold, 6), merge_within(pairs.differences(), threshold).tolist()
        (0.01, [0, 0, 2])
    """
    return float(np.sort(differences.min(axis=1))[min(count, len(differences)) - 1])


def merge_within(differences: Matrix, threshold: float) -> NDArray[np.int64]:
    """Return the prototype that each becomes, (P,), if those within ``threshold`` of each other are merged.

    In order of the indices, each prototype that is left absorbs all others that are left and within the threshold.
    A prototype that is near only to one of the absorbed is not absorbed with it.
    """
    count = len(differences)
    near = differences <= threshold
    np.fill_diagonal(near, False)
    into, left = np.arange(count), np.ones(count, dtype=bool)
    for index in range(count):
        if left[index]:
            absorbed = near[index] & left
            into[absorbed] = index
            left[absorbed] = False
    return into


def merge_down_to(differences: Matrix, count: int) -> NDArray[np.int64]:
    """Return the prototype that each becomes, (P,), so that ``count`` are left.

    The threshold is the smallest at which at most ``count`` are left; if fewer are left, the pairs with the largest
    differences are not merged.

    Example:
        >>> columns = np.array([0.0, 1.0, 1.1, 5.0])
        >>> squared = (columns[:, None] - columns) ** 2 + np.diag([np.inf] * 4)
        >>> [merge_down_to(squared, count).tolist() for count in (3, 2, 1)]
        [[0, 1, 1, 3], [0, 0, 0, 3], [0, 0, 0, 0]]
    """
    total = len(differences)
    if count >= total:
        return np.arange(total)
    values = np.unique(differences[np.triu_indices(total, 1)])
    low, high = 0, len(values) - 1  # at the last value all become one
    while low < high:
        middle = (low + high) // 2
        left = np.unique(merge_within(differences, values[middle])).size
        low, high = (low, middle) if left <= count else (middle + 1, high)
    into = merge_within(differences, values[high])
    gone = (into != np.arange(total)).nonzero()[0]
    order = gone[np.argsort(differences[gone, into[gone]], kind="stable")]
    unmerged = order[total - count :]
    into[unmerged] = unmerged
    return into


def merge(
    model: PrototypeModel, loader: Iterable[Batch | EncodedBatch], *, progress: bool = False
) -> MergeReport:
    """Merge prototypes according to the model's configuration, in one pass over the images.

    Source: Rymarczyk et al. 2021; with ``--merge``, by the threshold of their released code.

    Args:
        model: ProtoPShare.
        loader: the training images without augmentation; not read if vectors are compared.
        progress: whether to show a progress bar.

    Raises:
        UserError: for another method, if there are no images, or if similarities are not finite.
    """
    if not isinstance(model, ProtoPShare):
        raise UserError(f"{model.name} does not merge its prototypes; protopshare does")
    pairs, by = PairwiseDifferences(), model.config.merge_by
    with evaluating(model):
        if by == "vectors":
            pairs.update(model.prototypes.vectors.flatten(1).T)
        else:
            for latents, _, _ in latents_of(model, loader, "comparing prototypes", progress):
                pairs.update(model.responses(latents))
    differences = pairs.differences()
    total, goal = len(differences), model.goal()
    if goal is not None:
        into = merge_down_to(differences, goal)
    else:
        share = model.config.merge or 0
        count = int(share) if share >= 1 else int(share * total)
        into = merge_within(differences, nearest_threshold(differences, count)) if count else np.arange(total)
    moved = into != np.arange(total)
    distances = np.where(moved, differences[np.arange(total), into], 0.0)
    model.merge(torch.from_numpy(into))
    classes = model.prototypes.owners.sum(dim=1)
    return MergeReport(
        tuple(into.tolist()), tuple(distances.tolist()), by, int((classes > 1).sum()), int(classes.max())
    )


@action("merge")
def _merge(model: PrototypeModel, context: ActionContext) -> None:
    model.facts.setdefault("members", _initial_members(model, context))
    report = merge(model, training_images(model, context), progress=context.progress)
    context.notes += report.lines()
    context.kept = torch.tensor(report.kept, dtype=torch.int64)


def _initial_members(model: PrototypeModel, context: ActionContext) -> list[list[dict[str, Any]]]:
    """Return an entry for each prototype as it is before the first merging."""
    prototypes = model.prototypes
    if prototypes is None:
        return []
    owners = prototypes.owner_names(model.spec.classes)
    sources, boxes = prototypes.source_index.tolist(), prototypes.source_box.tolist()
    return [
        [
            {
                "prototype": j,
                "classes": list(owners[j]),
                "source": sources[j],
                "name": context.train.name(sources[j]) if sources[j] >= 0 else "",
                "box": boxes[j],
                "round": 0,
            }
        ]
        for j in range(len(prototypes))
    ]
