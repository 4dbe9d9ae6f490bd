"""Divide a pass over images among the devices of a run.

The first process goes through the pass as if it were alone: it gets the result of every batch, in order. Only the work
on a batch, reading its images and running the model, is done by one process after the other. A batch has the same
images on any number of devices, so results do not depend on their number.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import torch

from resemblance.config.errors import UserError
from resemblance.data.loader import ImageLoader
from resemblance.data.progress import track
from resemblance.data.stopping import stop_if_requested
from resemblance.training.devices.packing import packed, unpacked

T = TypeVar("T")
R = TypeVar("R")
END = b""  # of a pass: asked for by the first process, and confirmed by the others


def map_over_devices(
    function: Callable[[T], R], items: Iterable[T], title: str = "", progress: bool = False
) -> Iterator[R]:
    """Yield what a function returns for each item, in order; inside of `dividing`, several processes compute it.

    Args:
        function: is pickled for the other processes: a function of a module, a method, or a ``partial`` of one, that
            depends on its arguments alone. Tensors in its results are on the device of this process.
        items: a loader of images, or a range of numbers; anything else, such as latents that are kept, is not divided.
        title: the name of the work.
        progress: whether to show a bar.

    Raises:
        UserError: if the function cannot be pickled, or another process has ended; an error of the function is raised
            when it is the turn of its item.

    Example:
        >>> list(map_over_devices(str, range(3)))
        ['0', '1', '2']
    """
    pool = _POOL.get()
    if pool is not None and not pool.busy and isinstance(items, ImageLoader | range):
        results = pool.map(function, items)
    else:
        results = _map_here(function, items)
    return track(results, title, progress, total=len(items) if isinstance(items, Sized) else None)


def _map_here(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    for item in items:
        stop_if_requested()
        yield function(item)


@dataclass(frozen=True)
class Task:
    """A pass, as the other processes get it.

    Args:
        function: of an item.
        items: all items of the pass; a process computes every ``processes``-th, from the number of its rank on.
        processes: how many processes compute it.
        accelerator: ``cpu`` or ``gpu``.
        gradients: whether gradients can be computed.
        precision: of matrix products in float32, as torch calls it.
    """

    function: Callable[[Any], Any]
    items: ImageLoader[Any] | range
    processes: int
    accelerator: str
    gradients: bool
    precision: str


def share_of(items: ImageLoader[Any] | range, rank: int, processes: int) -> Iterable[Any]:
    """Return the items that one of several processes computes."""
    return items.share(rank, processes) if isinstance(items, ImageLoader) else items[rank::processes]


class DevicePool:
    """The processes that compute a pass together with this one.

    Args:
        connections: to the other processes, in the order of their ranks, from 1 on.
        accelerator: ``cpu`` or ``gpu``.
        local: the number of processes that share the cores of this machine; 1 if they are divided already.

    Attributes:
        busy: whether a pass is being computed; a pass within it is not divided.
    """

    def __init__(self, connections: Sequence[Connection], accelerator: str, local: int = 1) -> None:
        self.connections, self.accelerator, self.local = connections, accelerator, local
        self.device = torch.device("cpu" if accelerator == "cpu" else "cuda:0")
        self.busy = False
        self._unfinished = False

    def map(self, function: Callable[[Any], R], items: ImageLoader[Any] | range) -> Iterator[R]:
        """Yield what a function returns for each item, in order; see `map_over_devices`."""
        self._end_abandoned()
        processes = 1 + len(self.connections)
        gradients, precision = torch.is_grad_enabled(), torch.get_float32_matmul_precision()
        content = packed(Task(function, items, processes, self.accelerator, gradients, precision))
        self.busy = self._unfinished = True
        try:
            with sharing_cores(self.local if self.accelerator == "cpu" else 1):
                for connection in self.connections:
                    self._send(connection, content)
                own = iter(share_of(items, 0, processes))
                for number in range(len(items)):
                    stop_if_requested()
                    rank = number % processes
                    yield function(next(own)) if rank == 0 else self._result(self.connections[rank - 1])
            for connection in self.connections:
                self._receive(connection)  # the end
            self._unfinished = False
        finally:
            self.busy = False

    def _result(self, connection: Connection) -> Any:
        succeeded, result = unpacked(self._receive(connection), self.device)
        if not succeeded:
            raise result
        return result

    def _end_abandoned(self) -> None:
        """End a pass that an error, or a caller who had enough, has left before its end."""
        if self._unfinished:
            for connection in self.connections:
                self._send(connection, END)
                while self._receive(connection):
                    pass
        self._unfinished = False

    def _send(self, connection: Connection, content: bytes | memoryview) -> None:
        try:
            connection.send_bytes(content)
        except OSError:
            raise _ended() from None

    def _receive(self, connection: Connection) -> bytes:
        try:
            return connection.recv_bytes()
        except (EOFError, OSError):
            raise _ended() from None


def _ended() -> UserError:
    stop_if_requested()  # a signal ends all processes; then this says how to go on
    return UserError(
        "a process of another device has ended; if the memory was full, a smaller --batch-size or fewer --devices need "
        "less"
    )


_POOL: ContextVar[DevicePool | None] = ContextVar("pool", default=None)


def current_pool() -> DevicePool | None:
    """Return the processes among which passes are divided now; None if they are not."""
    return _POOL.get()


@contextmanager
def dividing(pool: DevicePool | None) -> Iterator[None]:
    """Divide the passes in the block among the processes of a pool; with None, do not divide them."""
    token = _POOL.set(pool)
    try:
        yield
    finally:
        _POOL.reset(token)


@contextmanager
def sharing_cores(processes: int) -> Iterator[None]:
    """Let torch use no more threads inside the block than the share of one of several processes on this machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(min(threads, max(1, (os.cpu_count() or 1) // processes)))
    try:
        yield
    finally:
        torch.set_num_threads(threads)
