"""Batches in the order of the source."""

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
    """A loader for evaluation: every image once, in order, the last batch as short as it comes.

    Args:
        dataset: gives whole batches.
        batch_size: images a batch.
        workers: processes that read images; each uses one thread.
        sampler: another order.
    """
    return DataLoader(dataset, batch_size, sampler=sampler, num_workers=workers, collate_fn=identity_collate)


def identity_collate(batch: T) -> T:
    """The collation of a data set that makes whole batches itself."""
    return batch
