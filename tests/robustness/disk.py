"""A disk that is full: every write below a folder fails with ENOSPC from the n-th on, whatever writes it.

A real small disk would need rights; what writes here is Python, whose files are replaced by ones that count.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import stat
from pathlib import Path
from typing import Any

WRITING = set("wax+")


class Disk:
    """Count what is written below a folder, and let it fail from a write on.

    Args:
        folder: a folder, which need not exist.
        full_at: the number of the first write that fails; 0 for none.
        counts: receives the number of writes, at the end.
    """

    def __init__(self, folder: Path, full_at: int = 0, counts: Path | None = None) -> None:
        self.folder, self.full_at, self.counts = os.path.abspath(folder), full_at, counts
        self.writes = 0

    def use(self, path: Any = None) -> None:
        """Count a write.

        Raises:
            OSError: ENOSPC, from the write on at which the disk is full.
        """
        self.writes += 1
        if self.full_at and self.writes >= self.full_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    def before(self) -> None:
        """Replace what opens, makes and writes files in this process."""
        really_open, really_mkdir, really_os_open = io.open, os.mkdir, os.open
        really_write, really_sync, really_link = os.write, os.fsync, os.link
        disk = self

        class Raw(io.FileIO):
            def write(self, data: Any) -> int | None:
                disk.use()
                return super().write(data)

        def opened(
            file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None, *others: Any, **named: Any
        ) -> Any:
            if not WRITING & set(mode) or not self._below(file):
                return really_open(file, mode, buffering, encoding, *others, **named)
            if not os.path.exists(file):
                disk.use(file)
            raw = Raw(file, mode.replace("b", "").replace("t", ""))
            if buffering == 0:
                return raw
            binary = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            return binary if "b" in mode else io.TextIOWrapper(binary, encoding, *others, **named)

        def made(path: Any, *others: Any, **named: Any) -> None:
            if self._below(path) and not os.path.exists(path):
                disk.use(path)
            really_mkdir(path, *others, **named)

        def opened_by_number(path: Any, flags: int, *others: Any, **named: Any) -> int:
            if flags & os.O_CREAT and self._below(path) and not os.path.exists(path):
                disk.use(path)
            return really_os_open(path, flags, *others, **named)

        def written(number: int, data: Any) -> int:
            if self._is_file(number):
                disk.use()
            return really_write(number, data)

        def flushed(number: int) -> None:
            if self._is_file(number):
                disk.use()  # some file systems find the space now
            really_sync(number)

        def linked(source: Any, target: Any, *others: Any, **named: Any) -> None:
            if self._below(target):
                disk.use(target)
            really_link(source, target, *others, **named)

        builtins.open = io.open = opened  # type: ignore[assignment]
        os.mkdir, os.open, os.write = made, opened_by_number, written  # type: ignore[assignment]
        os.fsync, os.link = flushed, linked  # type: ignore[assignment]

    def after(self) -> None:
        """Hand on the number of writes."""
        if self.counts is not None:
            counted = str(self.writes)
            self.counts.write_text(counted)

    def _below(self, path: Any) -> bool:
        if isinstance(path, int):
            return False
        path = os.path.abspath(os.fsdecode(path))
        return path == self.folder or path.startswith(self.folder + os.sep)

    def _is_file(self, number: int) -> bool:
        """Check for a descriptor of the folder's files rather than of a pipe or of what the command prints."""
        return number > 2 and stat.S_ISREG(os.fstat(number).st_mode)
