"""Run one input under limits and judge what happens."""

from __future__ import annotations

import os
import re
import resource
import signal
import sys
import time
import traceback
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import constants

from resemblance.config.errors import UserError
from resemblance.printing.lines import printing_everything
from robustness.kind import NOTE

ADDRESSES = 3 << 30  # bytes that an input may ask for; what is asked for and refused must end in a line
MEMORY = 2 << 30  # bytes that an input may fill; the largest images that are read need most of them
SECONDS = 20  # of computation
# What a damaged file must never make a program do.
FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "subprocess.Popen",
    "socket.connect",
    "pty.spawn",
)
# What libtiff prints of a damaged file, from C, where Pillow has no switch for it.
LIBTIFF = re.compile(r"(tempfile\.tif|\w+): .*|Apparently should be .*")
# Categories of characters that break a line, and those that reorder it.
BREAKING = ("Cc", "Cs", "Zl", "Zp")
REORDERING = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Judgement(NamedTuple):
    """The result of one input.

    Attributes:
        verdict: ``accepted``, ``refused`` (with a line) or ``bad``.
        cause: for bad ones, what and where, the same for all inputs with this cause.
        text: the line, or the whole message.
        seconds: how long it took.
    """

    verdict: str
    cause: str
    text: str
    seconds: float


class TooSlow(BaseException):
    """Raised by the timer; no handler of ordinary errors catches it."""


class Limits:
    """The limits of a worker: memory, time, and no other program or connection.

    Args:
        noise: the file that stands for the error stream.
    """

    def __init__(self, noise: Path) -> None:
        self.noise = noise
        self.forbidden: list[str] = []
        sys.addaudithook(self._audit)
        signal.signal(signal.SIGPROF, self._stop)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ADDRESSES,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        constants.HF_HUB_OFFLINE = True  # the name of a model may be one on the hub; nothing is looked up
        os.dup2(os.open(noise, os.O_RDWR | os.O_CREAT | os.O_APPEND), 2)

    def judge(self, attempt: Callable[[], object]) -> Judgement:
        """Run an input and judge the result."""
        self.forbidden.clear()
        os.truncate(self.noise, 0)
        started = time.monotonic()
        before = _forget_peak()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            with printing_everything():  # as every command does
                attempt()
            verdict, cause, text = "accepted", "", ""
        except UserError as error:
            verdict, cause, text = _line(str(error))
        except TooSlow as error:
            verdict, cause, text = "bad", f"over {SECONDS} s at {_where(error)}", "".join(_trace(error))
        except BaseException as error:
            cause = f"{type(error).__name__} at {_where(error)}"
            verdict, text = "bad", "".join(_trace(error))
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stderr.flush()
        filled = _peak() - before
        if self.forbidden:
            verdict, cause, text = "bad", f"it called {self.forbidden[0]}", text
        elif filled > MEMORY:
            verdict, cause = "bad", f"filled over {MEMORY >> 30} GiB: {_shape(text)!r}"
        elif verdict != "bad" and (noise := self._printed()):
            verdict, cause, text = "bad", f"printed {noise[-150:]!r}", noise
        return Judgement(verdict, cause, text[-4000:], time.monotonic() - started)

    def _printed(self) -> str:
        """Return what was printed on the error stream, other than notes and what libtiff prints."""
        lines = self.noise.read_text(errors="replace").splitlines()
        return "\n".join(
            line for line in lines if not line.startswith(NOTE) and not LIBTIFF.fullmatch(line)
        ).strip()

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in FORBIDDEN:
            self.forbidden.append(event)

    def _stop(self, number: int, frame: Any) -> None:
        raise TooSlow


def _line(text: str) -> tuple[str, str, str]:
    """Judge the line of a refusal."""
    if not text.strip() or any(unicodedata.category(one) in BREAKING or one in REORDERING for one in text):
        return "bad", f"a message that is no line: {_shape(text)!r}", text
    if len(text) > 2000:
        return "bad", f"a line of over 2,000 characters: {_shape(text)!r}", text
    return "refused", "", text


def _forget_peak() -> int:
    """Let the kernel measure the peak of memory anew, and return the memory that is filled now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    """Return the largest memory, in bytes, that was filled since `_forget_peak`."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(found[1]) if found else 0


def _shape(text: str) -> str:
    """Return the words of a message without paths, so that the same message of two inputs is one cause."""
    return " ".join(word for word in text[:300].split() if "/" not in word)[:120]


def _where(error: BaseException) -> str:
    """Return the innermost place in the library, else in the tests."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame for frame in frames if "resemblance/" in frame.filename and "robustness" not in frame.filename
    ]
    frame = (own or list(frames))[-1]
    return f"{frame.filename.rpartition('resemblance/')[2]}:{frame.lineno}"


def _trace(error: BaseException) -> list[str]:
    return traceback.format_exception(error)
