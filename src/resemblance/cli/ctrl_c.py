"""Ctrl-C during a command is KeyboardInterrupt, whatever becomes of it on its way."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SOON = 0.01  # seconds after which an exception that was lost is raised again


@contextmanager
def keeping_ctrl_c() -> Iterator[None]:
    """Raise KeyboardInterrupt after Ctrl-C also where it was lost.

    Compiled code, as in an import, can make another error of it; Python ignores it in destructors, with a trace. In
    other threads, and where somebody else handles SIGINT, nothing is changed.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    came = False
    timers: list[threading.Timer] = []
    report_ignored = sys.unraisablehook

    def handle(number: int, frame: FrameType | None) -> Any:
        nonlocal came
        came = True
        signal.default_int_handler(number, frame)

    def repeat_ignored(ignored: Any) -> None:
        if issubclass(ignored.exc_type, KeyboardInterrupt):
            timers.append(threading.Timer(SOON, _thread.interrupt_main))
            timers[-1].start()
        else:
            report_ignored(ignored)

    signal.signal(signal.SIGINT, handle)
    sys.unraisablehook = repeat_ignored
    try:
        yield
    except Exception as error:
        if came:
            raise KeyboardInterrupt from error
        raise
    finally:
        for timer in timers:
            timer.cancel()  # the command has ended before it
        sys.unraisablehook = report_ignored
        signal.signal(signal.SIGINT, signal.default_int_handler)
