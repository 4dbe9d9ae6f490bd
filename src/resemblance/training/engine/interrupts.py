"""Ctrl-C, SIGTERM and SIGHUP while training: go on to a safe place, write a checkpoint, and stop."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from resemblance.config.errors import UserError
from resemblance.data.stopping import stopping_by
from resemblance.writing import CannotWriteError

# Windows has no SIGHUP.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
# One request can arrive as several signals: `timeout` signals its child and then the group, a terminal that closes
# sends SIGHUP twice. Signals within these seconds of the first are the same request.
SAME_REQUEST = 0.5


class Interrupted(Exception):
    """Training was stopped by a signal and can be resumed; the message says how.

    Args:
        message: how to continue.
        number: the signal.

    Attributes:
        exit_code: the exit code of a command that ends in this way: 130 after Ctrl-C, 143 after SIGTERM, 129 after
            SIGHUP.
    """

    def __init__(self, message: str, number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.exit_code = 128 + number


def resume_hint(folder: Path) -> str:
    """Return the message of a run that was stopped by a signal.

    Example:
        >>> resume_hint(Path("run"))
        'stopped; to continue the run, repeat the command with --resume (run)'
    """
    return f"stopped; to continue the run, repeat the command with --resume ({folder})"


@contextmanager
def resumable(folder: Path | None) -> Iterator[None]:
    """Add to the message of a file that cannot be written, as on a full disk, how the run can be continued.

    Args:
        folder: the run folder; None for a run that cannot be continued.
    """
    try:
        yield
    except CannotWriteError as error:
        if folder is None:
            raise
        raise UserError(
            f"{error.problem}; when it can be written, repeat the command with --resume to continue the run ({folder})"
        ) from error


class Interrupts:
    """Context manager in which the first signal sets ``requested``, and the second raises `Interrupted` at once.

    The first signal raises nothing where it arrives, since code that is interrupted there can swallow the exception, as
    Python does in the callbacks of a fork. The work looks at ``requested`` where it can stop; loaders of passes over
    images do so between batches. If the work ends without having looked, `Interrupted` is raised at the end.

    Signals are handled in the main thread only; the earlier handlers are restored at the end. SIGTERM and SIGHUP that
    are ignored stay ignored, as under ``nohup``.

    Args:
        message: the message of `Interrupted`.
        stop_requested: returns whether the process that started this one was asked to stop.
    """

    def __init__(self, message: str, stop_requested: Callable[[], bool] = lambda: False) -> None:
        self.message = message
        self._stop_requested = stop_requested
        self._process = os.getpid()
        self._signal: int | None = None
        self._signalled_at = 0.0
        self._previous: dict[int, Any] = {}
        self._context = ExitStack()

    def __enter__(self) -> Interrupts:
        self._context.enter_context(stopping_by(self.stop_if_requested))
        if threading.current_thread() is threading.main_thread():
            handlers = {number: signal.getsignal(number) for number in SIGNALS}
            self._previous = {
                number: handler
                for number, handler in handlers.items()
                # None: a handler that is not Python's and could not be restored.
                if handler is not None and (handler is not signal.SIG_IGN or number == signal.SIGINT)
            }
        self.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._context.close()
        if self.requested and (error is None or _is_caused_by_signal(error)):
            raise self.error() from error

    def install(self) -> None:
        """Set the signal handlers, also again after other code has replaced them."""
        for number in self._previous:
            signal.signal(number, self._handle)

    @property
    def requested(self) -> bool:
        """Whether to stop at the next safe place."""
        return self._signal is not None or self._stop_requested()

    def stop_if_requested(self) -> None:
        """Raise `Interrupted` if a stop was requested; to be called at a safe place."""
        if self.requested:
            raise self.error()

    def error(self) -> Interrupted:
        """Return the exception to raise."""
        return Interrupted(self.message, self._signal or signal.SIGINT)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a loader process, which the training process will end
        now = time.monotonic()
        if self._signal is None:
            self._signal, self._signalled_at = number, now
        elif now - self._signalled_at > SAME_REQUEST:
            raise self.error()


def _is_caused_by_signal(error: BaseException) -> bool:
    """Check for the ways in which Lightning's own handler and loader processes answer to a signal."""
    return isinstance(error, SystemExit) or (
        isinstance(error, RuntimeError) and "DataLoader worker" in str(error)
    )


@contextmanager
def deferring_signals() -> Iterator[None]:
    """Defer the signals until the end of the block; processes started in it defer them until `receive_signals`."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def receive_signals() -> None:
    """Receive the signals again in a process that was started in `deferring_signals`, with those that came before."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
