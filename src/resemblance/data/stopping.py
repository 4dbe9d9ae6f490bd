"""Stop between two batches: work of hours asks here whether it should go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_CHECK: ContextVar[Callable[[], None]] = ContextVar("check", default=lambda: None)


def stop_if_requested() -> None:
    """Raise what the surrounding `stopping_by` raises; outside of it, do nothing.

    Example:
        >>> stop_if_requested()
    """
    _CHECK.get()()


@contextmanager
def stopping_by(check: Callable[[], None]) -> Iterator[None]:
    """Call ``check`` wherever work can stop; it raises if the work should.

    Args:
        check: called between two batches, in the thread that entered the context.
    """
    token = _CHECK.set(check)
    try:
        yield
    finally:
        _CHECK.reset(token)
