"""Run commands of the library in forked processes, which are disturbed or killed at chosen moments.

The process that forks has imported everything and computed nothing: a command starts within milliseconds.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from resemblance.cli.main import main

LIMIT = 120.0  # seconds after which a command hangs
HUNG = 1000  # no exit code that a process can have
SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, or minus the signal; its output; its duration in seconds."""

    code: int
    output: str
    seconds: float


def nothing() -> None:
    """Prepare nothing."""


def run_command(
    words: Sequence[str],
    log: Path,
    *,
    before: Callable[[], None] = nothing,
    after: Callable[[], None] = nothing,
    beside: Callable[[int], None] | None = None,
) -> Ended:
    """Run a command in another process.

    Args:
        words: the command line without ``resemblance``.
        log: receives what it prints.
        before, after: called in that process, before and after the command.
        beside: called here with the number of the process while it runs.
    """
    sys.stdout.flush()
    started = time.monotonic()
    process = os.fork()
    if process == 0:
        _run(words, log, before, after)
    if beside is not None:
        beside(process)
    code = _wait(process, started)
    seconds = time.monotonic() - started
    with suppress(
        ProcessLookupError
    ):  # those that read images for a killed process notice its end after a while
        os.killpg(process, signal.SIGKILL)
    return Ended(code, log.read_text(encoding="utf-8", errors="replace"), seconds)


def _run(words: Sequence[str], log: Path, before: Callable[[], None], after: Callable[[], None]) -> None:
    """Run the command in this process, which ends with it."""
    code = 1
    try:
        os.setsid()
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        before()
        code = main(list(words))
    except KeyboardInterrupt:
        code = 130  # as Python itself, outside of the command
    except BaseException:
        traceback.print_exc()
    finally:
        sys.setprofile(None)
        after()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(process: int, started: float) -> int:
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() - started > LIMIT:
            with suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return HUNG
        time.sleep(0.005)
