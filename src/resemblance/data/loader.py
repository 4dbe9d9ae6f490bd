"""Loaders of batches in the order of the source."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence, Sized
from types import FrameType
from typing import Any, TypeVar, cast

from torch.utils.data import DataLoader, Dataset

from resemblance.data.dataset import Key
from resemblance.data.stopping import stop_if_requested

T = TypeVar("T")
# Seconds that a loader process goes on after SIGTERM.
WORKER_GRACE = 60


def loader(
    dataset: Dataset[T],
    batch_size: int,
    workers: int = 0,
    sampler: Sequence[Key] | None = None,
) -> ImageLoader[T]:
    """Return a loader for evaluation: every image once, in order; the last batch may be smaller.

    Args:
        dataset: returns whole batches.
        batch_size: images per batch.
        workers: processes that read images; each uses one thread.
        sampler: the keys of the images, in another order.
    """
    keys: Sequence[Key] = range(len(cast(Sized, dataset))) if sampler is None else sampler
    starts = range(0, len(keys), batch_size)
    return ImageLoader(dataset, [keys[start : start + batch_size] for start in starts], workers)


class ImageLoader(DataLoader[T]):
    """A loader between whose batches the work can be stopped, and whose batches several processes can share.

    Args:
        dataset: returns whole batches.
        batches: the keys of the images of each batch.
        workers: processes that read images.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.data.dataset import ImageDataset
        >>> from resemblance.data.sources.source import ArraySource
        >>> import numpy as np
        >>> images = ArraySource(np.zeros((5, 8, 8, 1), np.uint8), [0] * 5, ["cat"])
        >>> batches = loader(ImageDataset(images, ImageSpec(8, 8, 1, (0.5,), (0.5,))), 2)
        >>> [batch.indices.tolist() for batch in batches.share(0, 2)]
        [[0, 1], [4]]
    """

    def __init__(self, dataset: Dataset[T], batches: Sequence[Any], workers: int = 0) -> None:
        self.images, self.batches = dataset, batches
        super().__init__(
            dataset,
            batch_sampler=batches,
            num_workers=workers,
            collate_fn=identity_collate,
            worker_init_fn=leave_signals_to_main_process if workers else None,
        )

    def share(self, rank: int, processes: int) -> ImageLoader[T]:
        """Return a loader of every batch whose number divided by ``processes`` leaves the remainder ``rank``."""
        return ImageLoader(self.images, self.batches[rank::processes], self.num_workers)

    def __iter__(self) -> Iterator[T]:  # type: ignore[override]
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
