"""The moment at which a process is sent a signal: after some time, or at a call of a function of a part."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

PACKAGE = "resemblance."


@dataclass(frozen=True)
class Moment:
    """The moment of a signal: some seconds after the start, or before the n-th call of a function of a part.

    Args:
        number: the signal.
        seconds: from the start, if no part is given.
        part: the beginning of module names below the package, such as ``store``.
        call: the number of the call.
    """

    number: int
    seconds: float = 0.0
    part: str = ""
    call: int = 0

    def __str__(self) -> str:
        when = f"call {self.call} in {self.part}" if self.part else f"{self.seconds:.2f} s"
        return f"{signal.Signals(self.number).name} at {when}"

    def before(self) -> None:
        """In the process itself: let it send itself the signal at the call."""
        if self.part:
            _at_calls(self._send)

    def beside(self, process: int) -> None:
        """In the process that started it: send it the signal at the time."""
        if not self.part:
            time.sleep(self.seconds)
            os.kill(process, self.number)  # one that has ended waits for os.waitpid

    def _send(self, calls: Counter[str], name: str) -> None:
        if (
            name.startswith(self.part)
            and sum(n for key, n in calls.items() if key.startswith(self.part)) == self.call
        ):
            os.kill(os.getpid(), self.number)


class Counting:
    """Count the calls in each module of the package.

    Args:
        path: the file that receives the counts from the other process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.calls: Counter[str] = Counter()

    def before(self) -> None:
        self.calls = _at_calls(lambda calls, name: None)

    def after(self) -> None:
        self.path.write_text(json.dumps(self.calls))

    def counts(self, parts: list[str]) -> dict[str, int]:
        """Return the calls in each part of which a function was called."""
        calls: dict[str, int] = json.loads(self.path.read_text())
        counted = {part: sum(n for name, n in calls.items() if name.startswith(part)) for part in parts}
        return {part: count for part, count in counted.items() if count}


def _at_calls(act: Callable[[Counter[str], str], None]) -> Counter[str]:
    """Act at each call of a function of the package in this process, which the counts include."""
    calls: Counter[str] = Counter()
    process = os.getpid()

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        name = frame.f_globals.get("__name__", "")
        if event == "call" and name.startswith(PACKAGE) and os.getpid() == process:
            name = name.removeprefix(PACKAGE)
            calls[name] += 1
            act(calls, name)

    sys.setprofile(profile)
    return calls
