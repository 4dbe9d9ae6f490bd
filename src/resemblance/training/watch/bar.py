"""The progress bar of a training run."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from resemblance.data.progress import LONG, duration
from resemblance.printing.terminal import Terminal

REFRESH = 0.2


class RunBar:
    """One progress bar over all stages, and an estimate of the time if the run takes more than a minute.

    Args:
        steps: optimiser steps of the run.
        epochs: epochs of the run, without the fast ones.
        done: steps that a resumed run has already made.
        show: whether to show anything; the bar itself needs a terminal.
        console: where to write; by default the error stream.
        fast: steps of stages that train on what was computed once, whose time is negligible.

    Attributes:
        is_fast: whether the present steps are such steps.
    """

    def __init__(
        self,
        steps: int,
        epochs: int,
        done: int = 0,
        show: bool = True,
        console: Console | None = None,
        fast: int = 0,
    ) -> None:
        self.console = console or Terminal()
        self.show, self.steps, self.epochs, self.done, self.fast = show, steps, epochs, done, fast
        self.text = ""
        self.is_fast = False
        self._first = done
        self._started = self._drawn = time.monotonic()
        self._estimated = False
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=self.console, transient=True)
        self._task = self._bar.add_task("", total=steps, completed=done)
        self.resume()

    def step(self) -> None:
        """Count one more optimiser step."""
        self.done += 1
        now = time.monotonic()
        if self.is_fast:
            self.fast -= 1
        elif not self._estimated and self.show:
            self._estimate(now)
        if now - self._drawn > REFRESH:
            self._drawn = now
            self._bar.update(self._task, completed=self.done, description=self.text)

    def skip_to(self, done: int) -> None:
        """Set the number of steps done, after a stage that ended early or when a run is resumed."""
        if not self._estimated:
            self._first, self._started = done, time.monotonic()
        self.done = done

    def pause(self) -> None:
        """Hide the bar while other output is written."""
        if self.visible:
            self._bar.stop()

    def resume(self) -> None:
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
        # The first step is always slow; wait for two more, but not longer than five seconds.
        if steps < 3 and elapsed < 5:
            return
        self._estimated = True
        each = (now - self._after_first) / (steps - 1) if steps > 1 else elapsed
        if (left := each * (self.steps - self.fast - self.done)) > LONG:
            self.console.print(f"about {duration(left)} for {self.epochs} epochs", highlight=False)
