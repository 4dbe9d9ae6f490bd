"""The lock of a run folder: one process at a time trains in it or converts into it.

The operating system holds the lock for as long as the process lives; the file that a killed one leaves is no obstacle.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from resemblance.config.errors import UserError
from resemblance.writing import CannotWriteError, clean

NAME = ".lock"
TRIES = 100  # another process may remove the file between its opening and its locking
_held: set[int] = set()  # descriptors of the locks that this process holds


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold the lock of a run folder, which is made if necessary.

    The processes of several devices do not take it: the one that starts them holds it. What killed processes left half
    written in the folder is removed. At the end the lock's file is removed, and so is a folder that was made for it and
    is still empty.

    Raises:
        UserError: if another process, or this one in another thread, holds the lock, or the folder cannot be written.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        descriptor = _acquire(folder)
    except OSError as error:
        raise CannotWriteError(folder, error) from None
    try:
        clean(folder)
        yield
    finally:
        _release(folder, descriptor)
        with suppress(OSError):  # it is not empty
            for path in made:
                path.rmdir()


def _acquire(folder: Path) -> int:
    path = folder / NAME
    for _ in range(TRIES):
        folder.mkdir(parents=True, exist_ok=True)
        # Not through a link, which in a folder from elsewhere could lead to any file.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            if _try(descriptor, folder, path):
                _held.add(descriptor)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise UserError(
        f"{folder} is in use by other processes; wait until they have ended, or choose another --output"
    )


def _try(descriptor: int, folder: Path, path: Path) -> bool:
    """Lock the open file; return whether it still is the one in the folder, since the process before removes it."""
    try:
        _lock(descriptor)
    except (BlockingIOError, PermissionError):
        text = os.read(descriptor, 200).decode("utf-8", "replace").strip()
        owner = text if text and text.isprintable() else "another process"
        raise UserError(
            f"{folder} is in use: {owner} trains in it or converts into it; wait until it has ended, or choose "
            "another --output"
        ) from None
    except OSError:
        pass  # a file system without locks: there is nothing to hold
    try:
        if not os.path.samestat(os.fstat(descriptor), path.stat()):
            return False
    except FileNotFoundError:
        return False
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"process {os.getpid()} on {platform.node() or 'this machine'}\n".encode())
    return True


def _release(folder: Path, descriptor: int) -> None:
    """Remove the file while the lock is held, where an open file can be removed; then give the lock back."""
    if descriptor not in _held:
        return  # in a forked process, which does not hold it
    _held.discard(descriptor)
    with suppress(OSError):
        if sys.platform != "win32":
            (folder / NAME).unlink()
    os.close(descriptor)
    with suppress(OSError):  # another process has it open
        if sys.platform == "win32":
            (folder / NAME).unlink()


def _close_in_fork() -> None:
    """Close the locks in a forked process: a process that reads images would hold them longer than its parent."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        # A byte behind the end, since a locked one cannot be read by others.
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    os.register_at_fork(after_in_child=_close_in_fork)
