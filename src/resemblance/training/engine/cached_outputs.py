"""Answers computed once for a stage that changes nothing but the head.

While encoder and prototypes are frozen and images are not augmented, the similarities of an image are the
same in every epoch. ProtoPNet's twenty passes over its last layer then cost one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from resemblance.core.classifier import Classifier
from resemblance.core.output import Output
from resemblance.core.prototype_model import PrototypeModel
from resemblance.core.recipe import Stage
from resemblance.data.batch import Batch
from resemblance.data.progress import track
from resemblance.training.ends.passes import evaluating

LARGEST = 2 << 30  # bytes of answers that may be kept


class CachedBatch(NamedTuple):
    """A batch whose images have been answered: the output without latents, labels (B,), indices (B,)."""

    output: Output
    labels: Tensor
    indices: Tensor


def answer(model: Classifier, batch: Batch | CachedBatch) -> Output:
    """The model's output for a batch of images, or anew from remembered similarities."""
    if isinstance(batch, CachedBatch):
        assert isinstance(model, PrototypeModel)
        return model.rescore(batch.output)
    output: Output = model(batch.images)
    return output


def can_cache_outputs(model: Classifier, stage: Stage, augment: str, images: int) -> bool:
    """Whether a stage may work on answers computed once: only the head changes, and they fit in memory."""
    if not isinstance(model, PrototypeModel) or augment != "none":
        return False
    if not stage.groups or not stage.groups.keys() <= model.traits.head_groups:
        return False
    return images * len(model.prototypes) * 8 <= LARGEST


class CachedOutputs(Dataset[CachedBatch]):
    """The answers to a set of images, by index or (epoch, index).

    Args:
        model: answers in evaluation mode.
        batches: of un-augmented images, in the order of their indices.
        context: such as autocast.
        progress: whether to show progress.
    """

    def __init__(
        self,
        model: Classifier,
        batches: Iterable[Batch],
        context: AbstractContextManager[None] | None = None,
        progress: bool = False,
    ) -> None:
        parts: list[dict[str, Tensor]] = []
        with evaluating(model), context or nullcontext():
            for batch in track(batches, "remembering similarities", progress):
                output = model(batch.images.to(model.device))
                part = {"similarities": output.similarities, "labels": batch.labels, **output.extras}
                parts.append({name: tensor.cpu() for name, tensor in part.items()})
        self.columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def __len__(self) -> int:
        return len(self.columns["labels"])

    def __getitem__(self, key: int | tuple[int, int]) -> CachedBatch:
        return self.__getitems__([key])

    def __getitems__(self, keys: Sequence[int | tuple[int, int]]) -> CachedBatch:
        """The answers at ``keys``; PyTorch's loaders call this."""
        indices = torch.tensor([key[1] if isinstance(key, tuple) else key for key in keys])
        rows = {name: column[indices] for name, column in self.columns.items()}
        similarities, labels = rows.pop("similarities"), rows.pop("labels")
        nothing = similarities[:, :0]
        return CachedBatch(Output(nothing, similarities, nothing, rows), labels, indices)

    def batches(self, size: int) -> list[CachedBatch]:
        """All answers in order."""
        return [self.__getitems__(range(i, min(i + size, len(self)))) for i in range(0, len(self), size)]
