"""Loaders of batches in the order of the source."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from torch.utils.data import DataLoader, Sampler

from resemblance.data.batch import Batch
from resemblance.data.dataset import ImageDataset

T = TypeVar("T")


def loader(
    dataset: ImageDataset,
    batch_size: int,
    workers: int = 0,
    sampler: Sampler[Any] | Iterable[Any] | None = None,
) -> DataLoader[Batch]:
    """Return a loader for evaluation: every image once, in order; the last batch may be smaller.

    Args:
        dataset: returns whole batches.
        batch_size: images per batch.
        workers: processes that read images; each uses one thread.
        sampler: another order.
    """
    return DataLoader(dataset, batch_size, sampler=sampler, num_workers=workers, collate_fn=identity_collate)


def identity_collate(batch: T) -> T:
    """Return the batch unchanged: the ``collate_fn`` of a data set that returns whole batches."""
    return batch
