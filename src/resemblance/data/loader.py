"""Loaders of batches in the order of the source."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any, TypeVar

from torch.utils.data import DataLoader, Sampler

from resemblance.data.batch import Batch
from resemblance.data.dataset import ImageDataset
from resemblance.data.stopping import stop_if_requested

T = TypeVar("T")
# Seconds that a loader process goes on after SIGTERM.
WORKER_GRACE = 60


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
    return _StoppableLoader(
        dataset,
        batch_size,
        sampler=sampler,
        num_workers=workers,
        collate_fn=identity_collate,
        worker_init_fn=leave_signals_to_main_process if workers else None,
    )


class _StoppableLoader(DataLoader[Batch]):
    """A loader between whose batches the work can be stopped."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        for batch in super().__iter__():
            stop_if_requested()
            yield batch


def leave_signals_to_main_process(worker: int) -> None:
    """Keep a loader process alive when all processes get a signal: the main one finishes its step, and ends it.

    Args:
        worker: the number of the loader process; PyTorch's loaders give it to their ``worker_init_fn``.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):  # not on Windows, where SIGTERM cannot be handled either
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, _end_later)


def _end_later(number: int, frame: FrameType | None) -> None:
    signal.alarm(WORKER_GRACE)


def identity_collate(batch: T) -> T:
    """Return the batch unchanged: the ``collate_fn`` of a data set that returns whole batches."""
    return batch
