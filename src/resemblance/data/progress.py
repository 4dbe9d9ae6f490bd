"""A progress bar for work that takes more than two seconds."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from resemblance.printing.terminal import Terminal

T = TypeVar("T")
DELAY = 2.0
LONG = 60.0


def track(
    items: Iterable[T],
    title: str,
    show: bool = True,
    *,
    total: int | None = None,
    console: Console | None = None,
) -> Iterator[T]:
    """Yield the items, with a progress bar on the error stream if they take more than two seconds.

    After the first item it prints the estimated time for all of them, if that is over a minute. Nothing is shown if
    ``show`` is false or there is no terminal.

    Args:
        items: with or without a length.
        title: the name of the work, for instance ``projecting``.
        show: whether to show anything.
        total: the number of items, if they have no length.
        console: where to write; by default the error stream.

    Example:
        >>> list(track([1, 2], "counting"))
        [1, 2]
    """
    console = console or Terminal()
    if not show or not console.is_terminal:
        yield from items
        return
    total = len(items) if isinstance(items, Sized) else total
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task(title, total=total)
    started = time.monotonic()
    shown = False
    try:
        for done, item in enumerate(items, start=1):
            yield item  # the caller's work on the item takes the time
            elapsed = time.monotonic() - started
            if done == 1 and total is not None and elapsed * total > LONG:
                console.print(f"{title}: about {duration(elapsed * total)}", highlight=False)
            if not shown and elapsed > DELAY:
                bar.start()
                shown = True
            bar.update(task, completed=done)
    finally:
        if shown:
            bar.stop()


def duration(seconds: float) -> str:
    """Return a duration in words.

    Example:
        >>> duration(1), duration(75), duration(200), duration(9000)
        ('1 second', '75 seconds', '3 minutes', '2.5 hours')
    """
    if seconds < 90:
        return f"{seconds:.0f} second{'' if round(seconds) == 1 else 's'}"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
