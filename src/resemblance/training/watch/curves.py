"""Curves for TensorBoard, written at once.

PyTorch's ``SummaryWriter`` writes from another thread, which prints a trace when the disk is full, and says so later.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resemblance.writing import writing


class Curves:
    """Write points of curves into an event file of TensorBoard.

    Args:
        folder: the folder to write to; its other event files belong to the same curves.
        first: the first optimiser step of what follows; TensorBoard drops points of earlier files from there on.

    Raises:
        CannotWriteError: if it cannot be written, also from `add` and `close`.

    Example:
        >>> from tempfile import mkdtemp
        >>> folder = Path(mkdtemp())
        >>> curves = Curves(folder, first=1)
        >>> curves.add({"train/loss": 0.5}, step=1)
        >>> curves.close()
        >>> len(list(folder.iterdir()))
        1
    """

    def __init__(self, folder: Path, first: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.folder = folder
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / self._name()).open("xb")
            self._records = RecordWriter(self._file)
            self._write(Event(file_version="brain.Event:2"))
            self._write(Event(step=first, session_log=SessionLog(status=SessionLog.START)))
            self._file.flush()

    def add(self, values: Mapping[str, float], step: int) -> None:
        """Add a point to each of the named curves."""
        from tensorboard.compat.proto.event_pb2 import Event
        from torch.utils.tensorboard.summary import scalar

        with writing(self.folder):
            for name, value in values.items():
                self._write(Event(step=step, summary=scalar(name, value)))  # type: ignore[no-untyped-call]
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        with writing(self.folder):
            self._file.close()

    def _name(self) -> str:
        """Return a name that TensorBoard finds, and reads after those of earlier processes and runs."""
        count = len(os.listdir(self.folder))
        return f"events.out.tfevents.{time.time():017.6f}.{platform.node()}.{os.getpid()}.{count}"

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())
