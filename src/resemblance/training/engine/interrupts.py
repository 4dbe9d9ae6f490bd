"""Ctrl-C while training: finish the step, write a checkpoint, leave."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType


class Interrupted(Exception):
    """Training was stopped by the user and can be resumed; the message says how.

    Attributes:
        exit_code: of a command that ends this way.
    """

    exit_code = 130


class Interrupts:
    """While active, the first Ctrl-C sets ``requested``, a second one raises `Interrupted` at once.

    Args:
        message: what `Interrupted` says.
        asked: whether the process that started this one was asked to stop.
    """

    def __init__(self, message: str, asked: Callable[[], bool] = lambda: False) -> None:
        self.message = message
        self._asked = asked
        self._signalled = False
        self.patient = False
        """Whether somebody looks at ``requested``; else the first Ctrl-C raises."""
        self._owner = os.getpid()
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
        """Whether to stop after the step."""
        return self._signalled or self._asked()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            return  # a loader process, which its owner will end
        if not self.patient or self._signalled:
            raise self.error()
        self._signalled = True

    def error(self) -> Interrupted:
        """The exception that tells the caller."""
        return Interrupted(self.message)
