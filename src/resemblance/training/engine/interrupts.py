"""Ctrl-C while training: finish the step, write a checkpoint, and stop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType


class Interrupted(Exception):
    """Training was stopped by the user and can be resumed; the message says how.

    Attributes:
        exit_code: the exit code of a command that ends in this way.
    """

    exit_code = 130


class Interrupts:
    """Context manager in which the first Ctrl-C sets ``requested``, and the second raises `Interrupted` at once.

    Args:
        message: the message of `Interrupted`.
        stop_requested: returns whether the process that started this one was asked to stop.

    Attributes:
        finish_step: set while ``requested`` is checked after each step; otherwise the first Ctrl-C raises, too.
    """

    def __init__(self, message: str, stop_requested: Callable[[], bool] = lambda: False) -> None:
        self.message = message
        self._stop_requested = stop_requested
        self._signalled = False
        self.finish_step = False
        self._process = os.getpid()
        self._previous: object = None

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)  # type: ignore[arg-type]

    @property
    def requested(self) -> bool:
        """Whether to stop after the current step."""
        return self._signalled or self._stop_requested()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a loader process, which the training process will end
        if not self.finish_step or self._signalled:
            raise self.error()
        self._signalled = True

    def error(self) -> Interrupted:
        """Return the exception to raise."""
        return Interrupted(self.message)
