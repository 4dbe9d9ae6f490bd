"""Which processors a run uses, and one process for each."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing import get_context
from torch.multiprocessing.spawn import spawn

from resemblance.config.errors import UserError
from resemblance.training.engine.interrupts import Interrupted

# End actions run in the first process while the others wait; a projection may take hours.
PATIENCE = timedelta(days=7)


@dataclass(frozen=True)
class DistributedContext:
    """The processes of a run as one of them sees it.

    Args:
        accelerator: ``cpu``, ``gpu`` or ``mps``.
        rank: this process.
        world: how many there are.
        asked: whether they were asked to stop.
    """

    accelerator: str
    rank: int = 0
    world: int = 1
    asked: Callable[[], bool] = lambda: False

    @property
    def device(self) -> torch.device:
        """What this process computes on."""
        return torch.device({"gpu": f"cuda:{self.rank}"}.get(self.accelerator, self.accelerator))

    def wait(self) -> None:
        """Until all processes are here."""
        if self.world > 1:
            dist.barrier()


def find_accelerator(wanted: str, devices: int) -> str:
    """``cpu``, ``gpu`` or ``mps``.

    Raises:
        UserError: if this machine has not what is wanted.
    """
    gpus, mps = torch.cuda.device_count(), torch.backends.mps.is_available()
    if wanted == "gpu" and not gpus:
        raise UserError("--accelerator gpu: torch sees no GPU here; use --accelerator cpu or auto")
    if wanted == "mps" and not mps:
        raise UserError("--accelerator mps: torch sees no Apple GPU here; use --accelerator cpu or auto")
    found = wanted if wanted != "auto" else "gpu" if gpus else "mps" if mps and devices == 1 else "cpu"
    if found == "gpu" and devices > gpus:
        raise UserError(f"--devices {devices}: there {'is' if gpus == 1 else 'are'} {gpus} here")
    if found == "mps" and devices > 1:
        raise UserError("--devices: only one Apple GPU can be used")
    return found


def run_team(work: Callable[[DistributedContext, Any], None], job: Any, team: DistributedContext) -> None:
    """Run ``work(team, job)`` in ``team.world`` new processes and wait for them.

    Args:
        work: a function at the top of a module.
        job: whatever can be pickled; each process has its own copy.
        team: how many processes, on what.

    Raises:
        UserError: if the job cannot be pickled, or one of the processes raised it.
        Interrupted: after Ctrl-C, when the processes have stopped.
    """
    try:
        content = pickle.dumps(job)  # by value: torch's own way would make the processes share one model
    except Exception as error:
        raise UserError(
            f"several devices need a model and data that can be pickled, and these cannot: {error}; "
            "define their classes in a module of their own, or use --devices 1"
        ) from None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = get_context("spawn")
    messages, asked = context.SimpleQueue(), context.Event()
    arguments = (work, content, team.accelerator, team.world, port, messages, asked)
    # Stages differ in what they leave unused; DDP warns in every process where they leave nothing.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    with _deaf_to_control_c():  # what is started here stays so until it can end cleanly
        processes: Any = spawn(  # type: ignore[no-untyped-call]
            _member, arguments, nprocs=team.world, join=False
        )
    while True:
        try:
            while not processes.join(timeout=1.0):
                pass
            return
        except KeyboardInterrupt:
            if asked.is_set():  # a second time: at once
                for process in processes.processes:
                    process.terminate()
            asked.set()
        except Exception:
            if messages.empty() and not asked.is_set():
                raise
            kind, text = messages.get() if not messages.empty() else ("Interrupted", "stopped at once")
            raise {"UserError": UserError, "Interrupted": Interrupted}[kind](text) from None


@contextmanager
def _deaf_to_control_c() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _member(
    rank: int,
    work: Callable[[DistributedContext, Any], None],
    content: bytes,
    accelerator: str,
    world: int,
    port: int,
    messages: Any,
    asked: Any,
) -> None:
    team = DistributedContext(accelerator, rank, world, asked.is_set)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    os.environ.update(WORLD_SIZE=str(world), NODE_RANK="0", LOCAL_RANK=str(rank))
    if accelerator == "cpu":
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // world))
    else:
        torch.cuda.set_device(team.device)
    backend = "nccl" if accelerator == "gpu" else "gloo"
    dist.init_process_group(backend, rank=rank, world_size=world, timeout=PATIENCE)
    try:
        work(team, pickle.loads(content))
    except (UserError, Interrupted) as error:
        messages.put((type(error).__name__, str(error)))
        raise
    dist.barrier()
    dist.destroy_process_group()


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Lightning says which devices there are and advises on workers; our users asked for neither."""
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
