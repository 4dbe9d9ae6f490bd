"""Model outputs that are computed once, for a stage that trains only the head.

While encoder and prototypes are frozen and images are not augmented, the similarities of an image are the
same in every epoch. ProtoPNet's twenty epochs of its last layer then cost one pass through the encoder.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from lightning.fabric.utilities.apply_func import move_data_to_device
from torch import Tensor
from torch.utils.data import Dataset

from resemblance.core.classifier import Classifier
from resemblance.core.output import Output
from resemblance.core.prototype_model import PrototypeModel
from resemblance.core.recipe import Stage
from resemblance.data.batch import Batch, EncodedBatch
from resemblance.data.progress import track
from resemblance.training.ends.passes import evaluating

MAX_CACHE_BYTES = 2 << 30


class CachedBatch(NamedTuple):
    """A batch with the cached output of its images: the output without latents, labels (B,), indices (B,)."""

    output: Output
    labels: Tensor
    indices: Tensor


def compute_output(model: Classifier, batch: Batch | EncodedBatch | CachedBatch) -> Output:
    """Compute the model's output for images, for what its encoder computed, or again from cached similarities."""
    if isinstance(batch, EncodedBatch):
        return model.forward_encoded(batch.encoded)
    if isinstance(batch, CachedBatch):
        assert isinstance(model, PrototypeModel)
        return model.rescore(batch.output)
    output: Output = model(batch.images)
    return output


def can_cache_outputs(model: Classifier, stage: Stage, images: int) -> bool:
    """Check whether a stage could train on the cached outputs of images that stay the same in every epoch.

    Only the head is trained, and the outputs fit in memory.
    """
    if not isinstance(model, PrototypeModel):
        return False
    if not stage.groups or not stage.groups.keys() <= model.traits.head_groups:
        return False
    return images * len(model.prototypes) * 8 <= MAX_CACHE_BYTES


class CachedOutputs(Dataset[CachedBatch]):
    """The model's outputs for a set of images, by index or (epoch, index).

    Args:
        model: is run in evaluation mode.
        batches: of un-augmented images, or of what the encoder computed for them, in the order of their indices.
        context: entered while the model runs, for autocast.
        progress: whether to show progress.
    """

    def __init__(
        self,
        model: Classifier,
        batches: Iterable[Batch | EncodedBatch],
        context: AbstractContextManager[None] | None = None,
        progress: bool = False,
    ) -> None:
        parts: list[dict[str, Tensor]] = []
        with evaluating(model), context or nullcontext():
            for batch in track(batches, "caching similarities", progress):
                output = compute_output(model, move_data_to_device(batch, model.device))
                part = {"similarities": output.similarities, "labels": batch.labels, **output.extras}
                parts.append({name: tensor.cpu() for name, tensor in part.items()})
        self.columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def __len__(self) -> int:
        return len(self.columns["labels"])

    def __getitem__(self, key: int | tuple[int, int]) -> CachedBatch:
        return self.__getitems__([key])

    def __getitems__(self, keys: Sequence[int | tuple[int, int]]) -> CachedBatch:
        """Return the outputs at ``keys``; PyTorch's loaders call this."""
        indices = torch.tensor([key[1] if isinstance(key, tuple) else key for key in keys])
        rows = {name: column[indices] for name, column in self.columns.items()}
        similarities, labels = rows.pop("similarities"), rows.pop("labels")
        empty = similarities[:, :0]
        return CachedBatch(Output(empty, similarities, empty, rows), labels, indices)

    def batches(self, size: int) -> list[CachedBatch]:
        """Return all outputs in order, in batches of that size."""
        return [self.__getitems__(range(i, min(i + size, len(self)))) for i in range(0, len(self), size)]
