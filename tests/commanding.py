"""The type of the fixture `command`."""

from __future__ import annotations

from collections.abc import Callable

Command = Callable[..., tuple[int, str, str]]  # exit code, standard output, error stream
