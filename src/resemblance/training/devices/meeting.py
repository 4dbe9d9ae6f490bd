"""Connect processes that somebody else has started with the first of them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from functools import cache
from multiprocessing.connection import Client, Connection, Listener
from typing import Any

import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from resemblance.config import processes
from resemblance.training.engine.devices import TIMEOUT

NAME = "resemblance"  # of the entry in torchrun's store


def meet(rank: int, count: int, host: str, share: Callable[[Any], Any]) -> list[Connection]:
    """Connect all processes with the first one; all must call it.

    Args:
        rank: the number of this process.
        count: the number of processes.
        host: the machine of the first process, as the others reach it.
        share: returns in all processes what the first one passes to it.

    Returns:
        In the first process, the connections to the others in the order of their ranks; in each of the others, the
        one to the first.
    """
    if rank > 0:
        port, key = share(None)
        connection = Client((host, port), family="AF_INET", authkey=key)
        connection.send(rank)
        return [connection]
    key = secrets.token_bytes(32)
    here = host in ("127.0.0.1", "localhost")
    with Listener(("127.0.0.1" if here else "0.0.0.0", 0), "AF_INET", count, authkey=key) as listener:
        share((listener.address[1], key))
        connections = {connection.recv(): connection for connection in _accepted(listener, count - 1)}
    return [connections[other] for other in range(1, count)]


def _accepted(listener: Listener, count: int) -> list[Connection]:
    return [listener.accept() for _ in range(count)]


@cache
def connections_of_torchrun() -> list[Connection]:
    """Return the connections of the processes that torchrun has started, made by the first call; empty without it."""
    if processes.processes() == 1:
        return []
    store, rank, count = next(rendezvous("env://"))
    store.set_timeout(TIMEOUT)

    def share(value: Any) -> Any:
        if rank == 0:
            port, key = value
            store.set(NAME, f"{port} {key.hex()}")
            return value
        port, key = store.get(NAME).decode().split()
        return int(port), bytes.fromhex(key)

    alone = processes.local_processes() == count
    return meet(rank, count, "127.0.0.1" if alone else os.environ["MASTER_ADDR"], share)


def connections_of_group(rank: int, count: int) -> list[Connection]:
    """Return the connections of the processes that train together; all must call it."""
    if count == 1:
        return []

    def share(value: Any) -> Any:
        values = [value]
        dist.broadcast_object_list(values)
        return values[0]

    return meet(rank, count, os.environ["MASTER_ADDR"], share)
