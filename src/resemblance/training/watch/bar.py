"""The progress of a whole training run on the terminal."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from resemblance.data.progress import LONG, duration

REFRESH = 0.2


class RunBar:
    """One bar over all stages, and an estimate soon after the start if the run takes more than a minute.

    Args:
        steps: optimiser steps of the run.
        epochs: epochs of the run that take their time.
        done: steps that a resumed run already has behind it.
        quick: steps of stages that work on remembered similarities and cost next to nothing.
        show: whether to show anything; the bar itself needs a terminal.
        console: by default the error stream.
    """

    def __init__(
        self,
        steps: int,
        epochs: int,
        done: int = 0,
        show: bool = True,
        console: Console | None = None,
        quick: int = 0,
    ) -> None:
        self.console = console or Console(file=sys.stderr)
        self.show, self.steps, self.epochs, self.done, self.quick = show, steps, epochs, done, quick
        self.text = ""
        self._first = done
        self._started = self._drawn = time.monotonic()
        self._estimated = False
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=self.console, transient=True)
        self._task = self._bar.add_task("", total=steps, completed=done)
        self.go_on()

    def step(self) -> None:
        """One more optimiser step is done."""
        self.done += 1
        now = time.monotonic()
        if not self._estimated and self.show:
            self._estimate(now)
        if now - self._drawn > REFRESH:
            self._drawn = now
            self._bar.update(self._task, completed=self.done, description=self.text)

    def skip_to(self, done: int) -> None:
        """A stage before ended early, or a resumed run is already there."""
        if not self._estimated:
            self._first, self._started = done, time.monotonic()
        self.done = done

    def pause(self) -> None:
        """Take the bar away, while others write."""
        if self.visible:
            self._bar.stop()

    def go_on(self) -> None:
        """Show the bar again."""
        if self.visible:
            self._bar.start()

    @property
    def visible(self) -> bool:
        """Whether there is a terminal to show it on."""
        return self.show and self.console.is_terminal

    def _estimate(self, now: float) -> None:
        steps, elapsed = self.done - self._first, now - self._started
        if steps == 1:
            self._after_first = now
        # The first step is slow by itself; wait for two more unless they take too long to wait for.
        if steps < 3 and elapsed < 5:
            return
        self._estimated = True
        each = (now - self._after_first) / (steps - 1) if steps > 1 else elapsed
        if (left := each * (self.steps - self.quick - self.done)) > LONG:
            self.console.print(f"about {duration(left)} for {self.epochs} epochs", highlight=False)
