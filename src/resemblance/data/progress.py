"""A progress bar for whatever takes more than two seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")
PATIENCE = 2.0
LONG = 60.0


def track(
    items: Iterable[T], title: str, show: bool = True, *, console: Console | None = None
) -> Iterator[T]:
    """Yield the items, with a bar on the terminal's error stream once they take more than two seconds.

    After the first item it says how long all of them will take, if that is over a minute. Silent where
    ``show`` is false or no terminal is attached.

    Args:
        items: with or without a length.
        title: what is going on, such as ``projecting``.
        show: whether to show anything.
        console: where to; by default the error stream.

    Example:
        >>> list(track([1, 2], "counting"))
        [1, 2]
    """
    console = console or Console(file=sys.stderr)
    if not show or not console.is_terminal:
        yield from items
        return
    total = len(items) if isinstance(items, Sized) else None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task(title, total=total)
    started = time.monotonic()
    shown = False
    try:
        for done, item in enumerate(items, start=1):
            yield item  # the caller's work on the item is what takes the time
            elapsed = time.monotonic() - started
            if done == 1 and total is not None and elapsed * total > LONG:
                console.print(f"{title}: about {duration(elapsed * total)}", highlight=False)
            if not shown and elapsed > PATIENCE:
                bar.start()
                shown = True
            bar.update(task, completed=done)
    finally:
        if shown:
            bar.stop()


def duration(seconds: float) -> str:
    """A length of time in words.

    Example:
        >>> duration(1), duration(75), duration(200), duration(9000)
        ('1 second', '75 seconds', '3 minutes', '2.5 hours')
    """
    if seconds < 90:
        return f"{seconds:.0f} second{'' if round(seconds) == 1 else 's'}"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
