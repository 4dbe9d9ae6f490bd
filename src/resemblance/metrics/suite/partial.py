"""Keep what has been measured so far in a file, so that an evaluation that was stopped goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from resemblance.config.errors import UserError
from resemblance.training.engine.checkpoints import atomic_save, load_checkpoint

SECONDS = 5.0  # between two saves; what is lost if the process is killed
PREFIX = ".partial-"


class Partial:
    """The running state of the evaluation of one model.

    Args:
        folder: where it is kept; None to keep nothing.
        key: identifies model, images and settings (`Subject.key`): with others it starts again.
    """

    def __init__(self, folder: Path | None, key: str) -> None:
        self.path = None if folder is None else folder / f"{PREFIX}{key}.pt"
        self._saved_at = time.monotonic()

    def read(self) -> dict[str, Any] | None:
        """Return the state of an evaluation that was stopped; None if there is none, or it is damaged."""
        if self.path is None or not self.path.exists():
            return None
        with suppress(UserError):
            content = load_checkpoint(self.path)
            return content if isinstance(content, dict) else None
        return None

    def save(self, state: Callable[[], dict[str, Any]], now: bool = False) -> None:
        """Save a state if the last time is long enough ago; a file that is complete, or the earlier one, remains.

        Args:
            state: makes the state.
            now: whether to save it in any case.
        """
        if self.path is None or not (now or time.monotonic() - self._saved_at >= SECONDS):
            return
        atomic_save(state(), self.path)
        self._saved_at = time.monotonic()

    def remove(self) -> None:
        """Remove the file, after the results have been written."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
