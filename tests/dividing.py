"""Two devices without a second process: a thread helps, and everything that it gets and sends is packed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from threading import Thread

from resemblance.training.devices.helping import help_first_process
from resemblance.training.devices.pool import DevicePool, dividing


@contextmanager
def helped_by_threads(count: int = 1) -> Iterator[DevicePool]:
    """Divide passes in the block among this thread and others."""
    pipes = [Pipe() for _ in range(count)]
    threads = [
        Thread(target=help_first_process, args=(there, rank, 0), daemon=True)
        for rank, (_, there) in enumerate(pipes, 1)
    ]
    for thread in threads:
        thread.start()
    pool = DevicePool([here for here, _ in pipes], "cpu")
    with dividing(pool):
        yield pool
    for here, _ in pipes:
        here.close()
    for thread in threads:
        thread.join()
