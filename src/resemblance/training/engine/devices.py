"""Choose the devices of a run, and start one process for each."""

from __future__ import annotations

import os
import pickle
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import wait
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing import get_context
from torch.multiprocessing.spawn import spawn

from resemblance.config import processes
from resemblance.config.errors import UserError
from resemblance.training.engine.interrupts import Interrupted, Interrupts, deferring_signals

# End actions run in the first process while the others wait; a projection may take hours.
TIMEOUT = timedelta(days=7)
# Seconds that processes have to end by themselves after one of them has failed.
GRACE = 5.0


@dataclass(frozen=True)
class DistributedContext:
    """The processes of a run, seen from one of them.

    Args:
        accelerator: ``cpu``, ``gpu`` or ``mps``.
        rank: the rank of this process.
        world: the number of processes.
        local: the number of this process, and of its GPU, on its machine; by default there is one machine.
        machines: the number of machines.
        stop_requested: returns whether the processes were asked to stop.
    """

    accelerator: str
    rank: int = 0
    world: int = 1
    local: int = -1
    machines: int = 1
    stop_requested: Callable[[], bool] = lambda: False

    def __post_init__(self) -> None:
        if self.local < 0:
            object.__setattr__(self, "local", self.rank)

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        return torch.device({"gpu": f"cuda:{self.local}"}.get(self.accelerator, self.accelerator))

    def wait(self) -> None:
        """Wait until all processes have called it."""
        if self.world > 1:
            dist.barrier()


def find_accelerator(requested: str, devices: int) -> str:
    """Return the accelerator to use: ``cpu``, ``gpu`` or ``mps``.

    Args:
        requested: one of these, or ``auto``.
        devices: how many on this machine; with torchrun, as many as it has started processes on it.

    Raises:
        UserError: if this machine does not have the requested devices, or torchrun has started another number.
    """
    if (started := processes.local_processes()) > 1:
        if devices not in (1, started):
            raise UserError(
                f"--devices {devices}: torchrun has started {started} processes on this machine; leave it out"
            )
        devices = started
    gpus, mps = torch.cuda.device_count(), torch.backends.mps.is_available()
    if requested == "gpu" and not gpus:
        raise UserError("--accelerator gpu: torch sees no GPU here; use --accelerator cpu or auto")
    if requested == "mps" and not mps:
        raise UserError("--accelerator mps: torch sees no Apple GPU here; use --accelerator cpu or auto")
    automatic = "gpu" if gpus else "mps" if mps and devices == 1 else "cpu"
    accelerator = automatic if requested == "auto" else requested
    if accelerator == "gpu" and devices > gpus:
        raise UserError(f"--devices {devices}: this machine has only {gpus} GPU{'s' if gpus > 1 else ''}")
    if accelerator == "mps" and devices > 1:
        raise UserError("--devices: only one Apple GPU can be used")
    return accelerator


def pickle_job(job: Any) -> bytes:
    """Return the job by value, for `run_processes`: torch's own method would make the processes share one model.

    Raises:
        UserError: if the job cannot be pickled.
    """
    try:
        return pickle.dumps(job)
    except Exception as error:
        raise UserError(
            f"several devices need a model and data that can be pickled, and these cannot: {error}; "
            "define their classes in a module of their own, or use --devices 1"
        ) from None


def run_processes(
    work: Callable[[DistributedContext, Any], None],
    content: bytes,
    distributed: DistributedContext,
    stop_message: str,
) -> None:
    """Run ``work(distributed, job)`` in ``distributed.world`` new processes and wait for them.

    Args:
        work: a module-level function.
        content: its argument, as `pickle_job` returns it; each process has its own copy.
        distributed: the accelerator and the number of processes.
        stop_message: the message of `Interrupted`.

    Raises:
        UserError: if one of the processes raised it.
        Interrupted: after a signal, when the processes have stopped; after a second one, they are killed.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = get_context("spawn")
    with deferring_signals():  # in Python's resource tracker, which starts here and would end on SIGHUP
        messages, stop_requested = context.SimpleQueue(), context.Event()
    arguments = (work, content, distributed.accelerator, distributed.world, port, messages, stop_requested)
    # Stages differ in their unused parameters; DDP warns in every process when there are none.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    with Interrupts(stop_message) as interrupts:
        with deferring_signals():  # in the new processes until they can handle them
            started: Any = spawn(  # type: ignore[no-untyped-call]
                _run_process, arguments, nprocs=distributed.world, join=False
            )
        try:
            while not _one_ended(started.processes):
                if interrupts.requested:
                    stop_requested.set()
            _end_others(started.processes)
            while not started.join():
                pass
        except Interrupted:
            raise
        except Exception:
            text, code = ("", None) if messages.empty() else messages.get()
            if text and code is None:
                raise UserError(text) from None
            interrupts.stop_if_requested()
            if code is not None:  # only that process got the signal
                raise Interrupted(text, code - 128) from None
            raise
        finally:
            for process in started.processes:
                process.kill()


def _one_ended(started: list[Any]) -> bool:
    """Wait up to a tenth of a second, and return whether a process has failed or all have ended."""
    wait([process.sentinel for process in started if process.exitcode is None], timeout=0.1)
    codes = [process.exitcode for process in started]
    return any(codes) or None not in codes


def _end_others(started: list[Any]) -> None:
    """Kill the processes that a failed one leaves: they may wait for it for days, and deaf to any other signal."""
    end = time.monotonic() + GRACE
    for process in started:
        process.join(max(0.0, end - time.monotonic()))
        if process.exitcode is None:
            process.kill()


def _run_process(
    rank: int,
    work: Callable[[DistributedContext, Any], None],
    content: bytes,
    accelerator: str,
    world: int,
    port: int,
    messages: Any,
    stop_requested: Any,
) -> None:
    distributed = DistributedContext(accelerator, rank, world, stop_requested=stop_requested.is_set)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    os.environ.update(WORLD_SIZE=str(world), NODE_RANK="0", LOCAL_RANK=str(rank))
    if accelerator == "cpu":
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // world))
    else:
        torch.cuda.set_device(distributed.device)
    dist.init_process_group(backend_of(accelerator), rank=rank, world_size=world, timeout=TIMEOUT)
    try:
        work(distributed, pickle.loads(content))
    except (UserError, Interrupted) as error:
        messages.put((str(error), error.exit_code if isinstance(error, Interrupted) else None))
        raise
    dist.barrier()
    dist.destroy_process_group()


def backend_of(accelerator: str) -> str:
    """Return the backend by which the devices of an accelerator exchange tensors."""
    return "nccl" if accelerator == "gpu" else "gloo"


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence Lightning's messages about devices and its advice on workers."""
    import logging
    import warnings

    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
