"""Ctrl-C during a command: Python's exception, and the memory that it came."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def remembering_ctrl_c() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether Ctrl-C came.

    It raises KeyboardInterrupt as usual, but compiled code that it interrupts, as in an import, can end with another
    error instead. In other threads, and where somebody else handles SIGINT, nothing is remembered.
    """
    came = False

    def handle(number: int, frame: FrameType | None) -> Any:
        nonlocal came
        came = True
        signal.default_int_handler(number, frame)

    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: came
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
