"""Start the processes of several devices for a command, or use those that torchrun has started."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from torch.multiprocessing import get_context

from resemblance.config.processes import local_processes
from resemblance.data.loader import leave_signals_to_main_process
from resemblance.training.devices.helping import help_first_process
from resemblance.training.devices.meeting import connections_of_torchrun
from resemblance.training.devices.pool import DevicePool, current_pool, dividing, sharing_cores
from resemblance.training.engine.devices import find_accelerator
from resemblance.training.engine.interrupts import deferring_signals, receive_signals


@contextmanager
def using_devices(accelerator: str, devices: int) -> Iterator[str]:
    """Divide the passes over images in the block among several devices.

    This process uses the first device and starts a process for each of the others, which end with the block. Where
    torchrun has started processes, on one machine or on several, these are used instead; within another such block,
    those of that block.

    Args:
        accelerator: ``auto``, ``cpu``, ``gpu``, or ``mps``.
        devices: the number of devices.

    Yields:
        The accelerator that is used: ``cpu``, ``gpu`` or ``mps``.

    Raises:
        UserError: if this machine does not have the devices, or torchrun has started another number of processes.
    """
    if (pool := current_pool()) is not None:
        yield pool.accelerator
        return
    if started := connections_of_torchrun():
        accelerator = find_accelerator(accelerator, devices)
        with dividing(DevicePool(started, accelerator, local_processes())):
            yield accelerator
        return
    accelerator = find_accelerator(accelerator, devices)
    if devices == 1:
        yield accelerator
        return
    connections, processes = _start(accelerator, devices)
    try:
        with dividing(DevicePool(connections, accelerator, devices)):
            yield accelerator
    finally:
        for connection in connections:
            connection.close()
        for process in processes:  # they wait for work, or do some that nobody needs
            process.kill()
            process.join()


def _start(accelerator: str, devices: int) -> tuple[list[Connection], list[BaseProcess]]:
    context = get_context("spawn")
    connections: list[Connection] = []
    processes: list[BaseProcess] = []
    if os.name == "posix":
        with deferring_signals():
            resource_tracker.ensure_running()  # it would end on SIGHUP, and its start ends the deferring
    with deferring_signals():  # in the new processes, until they can handle them
        for rank in range(1, devices):
            here, there = context.Pipe()
            process = context.Process(target=_help, args=(there, rank, accelerator, devices))
            process.start()
            there.close()  # so that the connection ends with that process
            connections.append(here)
            processes.append(process)
    return connections, processes


def _help(connection: Connection, rank: int, accelerator: str, devices: int) -> None:
    leave_signals_to_main_process(rank)
    receive_signals()
    warnings.simplefilter("ignore")  # the first process warns
    with sharing_cores(devices if accelerator == "cpu" else 1):
        help_first_process(connection, rank, gpu=rank)
