"""Run work in all processes that torchrun has started, which meet in a process group for it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.distributed as dist

from resemblance.config import processes
from resemblance.training.devices.helping import Everywhere
from resemblance.training.devices.meeting import connections_of_torchrun
from resemblance.training.devices.packing import packed
from resemblance.training.engine.devices import TIMEOUT, DistributedContext, backend_of


def run_everywhere(work: Callable[[DistributedContext, Any], None], content: bytes, accelerator: str) -> None:
    """Run ``work(distributed, job)`` in all processes that torchrun has started; the first one calls this.

    Args:
        work: a module-level function.
        content: its job, as `pickle_job` returns it; each process has its own copy.
        accelerator: ``cpu`` or ``gpu``.
    """
    function = partial(_take_part, work, content, accelerator)
    message = packed(Everywhere(function))
    for connection in connections_of_torchrun():
        connection.send_bytes(message)
    function()


def _take_part(work: Callable[[DistributedContext, Any], None], content: bytes, accelerator: str) -> None:
    count, local = processes.processes(), processes.local_rank()
    distributed = DistributedContext(
        accelerator, processes.rank(), count, local=local, machines=count // processes.local_processes()
    )
    if accelerator == "gpu":
        torch.cuda.set_device(distributed.device)
    dist.init_process_group(backend_of(accelerator), timeout=TIMEOUT)
    work(distributed, pickle.loads(content))
    dist.barrier()
    dist.destroy_process_group()
