"""The work of a process that helps the first one: it computes its share of each pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch

from resemblance.config.errors import UserError
from resemblance.training.devices.packing import packed, sendable, unpacked
from resemblance.training.devices.pool import END, Task, share_of


@dataclass(frozen=True)
class Outcome:
    """What the first process's work returned or raised; no pass follows."""

    result: Any = None
    error: BaseException | None = None


@dataclass(frozen=True)
class Everywhere:
    """A function that all processes run at the same time.

    Args:
        function: without arguments.
    """

    function: Callable[[], None]


def tell(connections: Sequence[Connection], outcome: Outcome) -> None:
    """Tell the processes that help how the work has ended, and before it the end of a pass that it has left."""
    try:
        content = packed(outcome)
    except UserError as error:
        content = packed(Outcome(error=error))
    for connection in connections:
        with suppress(OSError):  # it has ended already
            connection.send_bytes(END)
            connection.send_bytes(content)


def help_first_process(connection: Connection, rank: int, gpu: int) -> Outcome | None:
    """Compute this process's share of each pass until the first process ends its work.

    Args:
        connection: to the first process.
        rank: the number of this process among all, from 1 on.
        gpu: the number of its GPU on its machine, if passes are computed on GPUs.

    Returns:
        What the first process reports; None if it has closed the connection.
    """
    while True:
        try:
            content = connection.recv_bytes()
        except (EOFError, OSError):
            return None
        if content == END:  # of a pass that this process had finished already
            continue
        message = _read(content, gpu)
        if isinstance(message, Outcome):
            return message
        if isinstance(message, Everywhere):
            message.function()
            continue
        with suppress(EOFError, OSError):  # the next message will not come
            _send_results(connection, _results(message, rank))


def _read(content: bytes, gpu: int) -> Any:
    try:
        message = unpacked(content, torch.device("cuda", gpu))
        if isinstance(message, Task) and message.accelerator == "gpu":
            torch.cuda.set_device(gpu)
    except Exception as error:
        return error
    return message


def _results(task: Task | Exception, rank: int) -> Iterator[memoryview]:
    """Yield what is sent of each of this process's items: True and its result; after an error, False and the error."""
    try:
        if isinstance(task, Exception):
            raise task
        torch.set_float32_matmul_precision(task.precision)
        for item in share_of(task.items, rank, task.processes):
            with torch.set_grad_enabled(task.gradients):
                result = task.function(item)
            yield packed((True, result))
    except Exception as error:
        yield packed((False, sendable(error)))


def _send_results(connection: Connection, results: Iterator[memoryview]) -> None:
    """Send results, each while the next one is computed, until they or the first process's patience end."""
    with ThreadPoolExecutor(1) as sender:
        sending: Future[None] | None = None
        for result in results:
            if sending is not None:
                sending.result()
            if connection.poll() and connection.recv_bytes() == END:
                break
            sending = sender.submit(connection.send_bytes, result)
        if sending is not None:
            sending.result()
    connection.send_bytes(END)
