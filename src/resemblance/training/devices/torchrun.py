"""Let the processes that torchrun has started work together: the first one does everything, the others help it."""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec, TypeVar

from resemblance.config import processes
from resemblance.data.loader import leave_signals_to_main_process
from resemblance.training.devices.helping import Outcome, help_first_process, tell
from resemblance.training.devices.meeting import connections_of_torchrun
from resemblance.training.devices.packing import sendable
from resemblance.training.devices.pool import sharing_cores
from resemblance.training.engine.interrupts import SIGNALS

P = ParamSpec("P")
R = TypeVar("R")
_LEADING: ContextVar[bool] = ContextVar("leading", default=False)


def together(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function in the first process that torchrun has started, on one machine or on several.

    The other processes compute their shares of its passes over images, then return the same or raise the same error.
    So only the first process prints, draws and writes files. Without torchrun, the function is as before.
    """

    @wraps(function)
    def run(*args: P.args, **keywords: P.kwargs) -> R:
        if processes.processes() == 1 or _LEADING.get():
            return function(*args, **keywords)
        if processes.rank() > 0:
            outcome = _help()
            if outcome.error is not None:
                raise outcome.error
            return outcome.result  # type: ignore[no-any-return]
        token = _LEADING.set(True)
        try:
            result = function(*args, **keywords)
        except BaseException as error:
            tell(connections_of_torchrun(), Outcome(error=sendable(error)))
            raise
        finally:
            _LEADING.reset(token)
        tell(connections_of_torchrun(), Outcome(result))
        return result

    return run


def _help() -> Outcome:
    [connection] = connections_of_torchrun()
    rank, gpu, local = processes.rank(), processes.local_rank(), processes.local_processes()
    with _leaving_signals(), sharing_cores(local), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the first process warns
        outcome = help_first_process(connection, rank, gpu)
    return outcome or Outcome(error=SystemExit(1))


@contextmanager
def _leaving_signals() -> Iterator[None]:
    """Leave signals, which all processes get, to the first one inside the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    leave_signals_to_main_process(processes.rank())
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
