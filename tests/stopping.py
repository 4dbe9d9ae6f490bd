"""End a run at the writing of a checkpoint, in this process; `training/killing.py` kills real ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from resemblance.training.engine import checkpoints, state


class Stop(BaseException):
    """Stands for a kill."""


@contextmanager
def stopping(number: int | None = None) -> Iterator[list[str]]:
    """Stop after the checkpoint of that number has been written; yields the files written so far."""
    original, written = checkpoints.atomic_save, []

    def save(content, path, **options):
        original(content, path, **options)
        written.append(path.name)
        if len(written) == number:
            raise Stop

    with pytest.MonkeyPatch.context() as patch:
        for module in (checkpoints, state):
            patch.setattr(module, "atomic_save", save)
        yield written
