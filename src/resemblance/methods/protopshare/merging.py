"""Merging: prototypes that answer alike become one, which their classes share."""

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
from resemblance.data.batch import Batch
from resemblance.methods.protopshare.model import ProtoPShare
from resemblance.training.ends.actions import ActionContext, action
from resemblance.training.ends.passes import evaluating, latents_of, training_images

SAME = 1e-12  # relative difference of sums below which columns are equal: far less than float32 resolves

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class MergeReport:
    """What merging did.

    Args:
        into: (P,) before merging, which prototype each became; its own index, if it stayed.
        differences: (P,) S between a merged prototype and the one that it became, 0 for those that stayed.
        by: what was compared, ``data`` or ``vectors``.
        shared: how many prototypes now have more than one class.
        most: classes of the prototype that has the most.
    """

    into: tuple[int, ...]
    differences: tuple[float, ...] = field(repr=False)
    by: str
    shared: int
    most: int

    @property
    def kept(self) -> tuple[int, ...]:
        """Indices, before merging, of those that stayed."""
        return tuple(j for j, target in enumerate(self.into) if j == target)

    def lines(self) -> list[str]:
        """The report in words."""
        gone = len(self.into) - len(self.kept)
        how = {"data": "by their similarities to the training images", "vectors": "by their vectors"}[self.by]
        line = f"merged {gone} of {len(self.into)} prototypes into others, {how}; {len(self.kept)} are left"
        if self.shared:
            line += f", {self.shared} of them shared by 2 or more classes ({self.most} at most)"
        return [line]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "into": list(self.into),
            "differences": list(self.differences),
            "by": self.by,
            "shared": self.shared,
            "most": self.most,
        }


class Products:
    """The sums over images of the products of all pairs of columns, batch by batch, in float64."""

    def __init__(self) -> None:
        self.sums: Tensor | None = None

    def update(self, columns: Tensor) -> None:
        """Take the rows (B, P) of some images into account."""
        # The difference of two columns does not change by what is taken from both: smaller numbers, less rounding.
        columns = columns.detach()
        columns = (columns.cpu() if columns.device.type == "mps" else columns).double()
        columns = columns - columns.mean(dim=1, keepdim=True)
        products = columns.T @ columns
        self.sums = products if self.sums is None else self.sums.add_(products)

    def differences(self) -> Matrix:
        """S (P, P): S_ij = Σ_x (a_i(x) − a_j(x))², symmetric, infinite on the diagonal, exactly 0 for equal columns.

        Raises:
            UserError: without images, or where columns are not finite.
        """
        if self.sums is None:
            raise UserError("there are no training images to merge by")
        squares = self.sums.diagonal()
        sums = squares[:, None] + squares
        found = sums - self.sums - self.sums.T
        if not bool(found.isfinite().all()):
            raise UserError("similarities are not finite: training has diverged; lower the learning rates")
        found = torch.where(found <= SAME * sums, 0.0, found)
        matrix: Matrix = torch.maximum(found, found.T).cpu().numpy()
        np.fill_diagonal(matrix, np.inf)
        return matrix


def nearest_threshold(differences: Matrix, count: int) -> float:
    """The ``count``-th smallest of the prototypes' differences to their nearest (the released code's threshold).

    Example:
        >>> found = Products()
        >>> found.update(torch.tensor([[0, 0, 5], [1, 1, 5], [2, 2.1, 5]], dtype=torch.float64))
        >>> threshold = nearest_threshold(found.differences(), 2)
        >>> round(threshold, 6), merge_within(found.differences(), threshold).tolist()
        (0.01, [0, 0, 2])
    """
    return float(np.sort(differences.min(axis=1))[min(count, len(differences)) - 1])


def merge_within(differences: Matrix, threshold: float) -> NDArray[np.int64]:
    """(P,) for each prototype, which one it becomes if those within ``threshold`` of each other merge.

    In order of the indices, each prototype that is still there takes in all others within the threshold that are
    still there. What is near to one of these alone is not taken in with it.
    """
    count = len(differences)
    near = differences <= threshold
    np.fill_diagonal(near, False)
    into, there = np.arange(count), np.ones(count, dtype=bool)
    for index in range(count):
        if there[index]:
            taken = near[index] & there
            into[taken] = index
            there[taken] = False
    return into


def merge_down_to(differences: Matrix, count: int) -> NDArray[np.int64]:
    """(P,) which prototype each becomes, so that ``count`` are left.

    The threshold is the smallest at which so few are left; where it leaves fewer, the least alike of those that
    it would merge stay apart.

    Example:
        >>> columns = np.array([0.0, 1.0, 1.1, 5.0])
        >>> apart = (columns[:, None] - columns) ** 2 + np.diag([np.inf] * 4)
        >>> merge_down_to(apart, 3).tolist(), merge_down_to(apart, 2).tolist(), merge_down_to(apart, 1).tolist()
        ([0, 1, 1, 3], [0, 0, 0, 3], [0, 0, 0, 0])
    """
    total = len(differences)
    if count >= total:
        return np.arange(total)
    values = np.unique(differences[np.triu_indices(total, 1)])
    low, high = 0, len(values) - 1  # at the last all become one
    while low < high:
        middle = (low + high) // 2
        left = np.unique(merge_within(differences, values[middle])).size
        low, high = (low, middle) if left <= count else (middle + 1, high)
    into = merge_within(differences, values[high])
    gone = (into != np.arange(total)).nonzero()[0]
    order = gone[np.argsort(differences[gone, into[gone]], kind="stable")]
    apart = order[total - count :]
    into[apart] = apart
    return into


def merge(model: PrototypeModel, loader: Iterable[Batch], *, progress: bool = False) -> MergeReport:
    """Merge prototypes as the model's configuration says; one pass over the images.

    Source: Rymarczyk et al. 2021; with ``--merge`` by the threshold of their released code.

    Args:
        model: ProtoPShare.
        loader: the un-augmented training images; not looked at if vectors are compared.
        progress: whether to show a bar.

    Raises:
        UserError: for another method, without images, or if similarities are not finite.
    """
    if not isinstance(model, ProtoPShare):
        raise UserError(f"{model.name} does not merge its prototypes; protopshare does")
    found, by = Products(), model.config.merge_by
    with evaluating(model):
        if by == "vectors":
            found.update(model.prototypes.vectors.flatten(1).T)
        else:
            for latents, _, _ in latents_of(model, loader, "comparing prototypes", progress):
                found.update(model.responses(latents))
    differences = found.differences()
    total, goal = len(differences), model.goal()
    if goal is not None:
        into = merge_down_to(differences, goal)
    else:
        wanted = model.config.merge or 0
        part = int(wanted) if wanted >= 1 else int(wanted * total)
        into = merge_within(differences, nearest_threshold(differences, part)) if part else np.arange(total)
    moved = into != np.arange(total)
    apart = np.where(moved, differences[np.arange(total), into], 0.0)
    model.merge(torch.from_numpy(into))
    classes = model.prototypes.owners.sum(dim=1)
    return MergeReport(
        tuple(into.tolist()), tuple(apart.tolist()), by, int((classes > 1).sum()), int(classes.max())
    )


@action("merge")
def _merge(model: PrototypeModel, context: ActionContext) -> None:
    model.facts.setdefault("members", _first_members(model, context))
    report = merge(model, training_images(model, context), progress=context.progress)
    context.notes += report.lines()
    context.kept = torch.tensor(report.kept, dtype=torch.int64)


def _first_members(model: PrototypeModel, context: ActionContext) -> list[list[dict[str, Any]]]:
    """What is to be known later of each prototype that is not merged yet."""
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
