"""Ctrl-C during a command is KeyboardInterrupt, whatever becomes of it on its way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def keeping_ctrl_c() -> Iterator[None]:
    """Raise KeyboardInterrupt after Ctrl-C also where compiled code, as in an import, made another error of it.

    In other threads, and where somebody else handles SIGINT, nothing is changed.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    came = False

    def handle(number: int, frame: FrameType | None) -> Any:
        nonlocal came
        came = True
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    except Exception as error:
        if came:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
