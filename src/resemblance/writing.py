"""Write files so that a reader, and a process that is killed, finds the old content or the new one, never a part.

What is new is written beside its place, and renamed when it is complete and on the disk.
"""

from __future__ import annotations

import errno
import glob
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from resemblance.config.errors import UserError

LONGEST = 60  # characters of a name that its temporary name repeats; file systems limit names to 255 bytes
ABANDONED = 24 * 3600  # seconds after which what another machine began is not finished any more
_TEMPORARY = re.compile(r"\..*?\.(?:(?P<machine>\w+)-)?(?P<process>\d+)\.(?:new|old)")


class CannotWriteError(UserError):
    """A file could not be written, for instance because the disk is full; what it would have replaced is unharmed.

    Args:
        path: the file.
        error: the error of the operating system.

    Attributes:
        problem: the message without advice.

    Example:
        >>> print(CannotWriteError(Path("run/report.html"), OSError(errno.ENOSPC, "No space left on device")))
        cannot write run/report.html: No space left on device; make room, and repeat the command
    """

    def __init__(self, path: Path, error: OSError) -> None:
        self.problem = f"cannot write {path}: {error.strerror or error}"
        super().__init__(self.problem + ("; make room, and repeat the command" if is_full(error) else ""))


def is_full(error: OSError) -> bool:
    """Check whether an error says that the disk, or the user's share of it, is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise `CannotWriteError` for an error of the operating system in the block, which writes ``path``."""
    try:
        yield
    except OSError as error:
        raise CannotWriteError(path, error) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a file to write, which replaces ``path`` if the block ends without an exception.

    The folder is made if necessary. A link stays a link, permissions are kept, and a pipe is written directly. What
    dead processes left half written beside ``path`` is removed.

    Args:
        path: the file.

    Raises:
        CannotWriteError: if it cannot be written; the earlier file is unharmed.

    Example:
        >>> from tempfile import mkdtemp
        >>> path = Path(mkdtemp()) / "note.txt"
        >>> with replacing(path) as temporary:
        ...     _ = temporary.write_text("all of it")
        >>> path.read_text(), os.listdir(path.parent)
        ('all of it', ['note.txt'])
    """
    with writing(path):
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not target.is_file():
            yield target
            return
        remove_leftovers(target)
        temporary = beside(target)
        try:
            yield temporary
            _flush(temporary)
            if target.exists():
                shutil.copymode(target, temporary)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        flush_folder(target.parent)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a folder to fill, which replaces the folder ``path`` if the block ends without an exception.

    Between two renames there is no folder at ``path``; who is killed there leaves the earlier one beside it, which
    `leftovers` finds.

    Args:
        path: the folder.

    Raises:
        CannotWriteError: if it cannot be written; the earlier folder is unharmed.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        new, old = beside(path), beside(path, "old")
        try:
            new.mkdir()
            yield new
            if path.exists():
                path.rename(old)
            try:
                new.rename(path)
            except OSError:
                if old.exists():
                    old.rename(path)
                raise
        finally:
            shutil.rmtree(new, ignore_errors=True)
        flush_folder(path.parent)
        shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, completely or not at all; bytes of file names that are not UTF-8 become escapes.

    In JSON, these are JSON's own escapes, and are read as the same names.

    Raises:
        CannotWriteError: if it cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file completely or not at all.

    Raises:
        CannotWriteError: if it cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def beside(path: Path, ending: str = "new") -> Path:
    """Return this process's temporary name for a file or folder, in the same folder.

    Args:
        path: the file or folder.
        ending: ``new`` for what replaces it, ``old`` for what is replaced.
    """
    return path.with_name(f".{path.name[:LONGEST]}.{_machine()}-{os.getpid()}.{ending}")


def leftovers(path: Path) -> list[Path]:
    """Return what dead processes left beside a file or folder that they were writing."""
    names = glob.glob(f".{glob.escape(path.name[:LONGEST])}.*", root_dir=path.parent)
    return sorted(path.parent / name for name in names if _is_abandoned(path.parent / name))


def remove_leftovers(path: Path) -> None:
    """Remove the `leftovers` of a file or folder; while it does not exist, what it would have replaced is kept."""
    for leftover in leftovers(path):
        if leftover.suffix == ".new" or path.exists():
            _remove(leftover)


def clean(folder: Path) -> None:
    """Remove what dead processes began to write in a folder or directly below its subfolders, and did not complete."""
    for pattern in (".*.new", "*/.*.new"):
        for path in folder.glob(pattern):
            if _is_abandoned(path):
                _remove(path)


def _remove(path: Path) -> None:
    with suppress(OSError):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the operating system can do this."""
    if hasattr(os, "O_DIRECTORY"):
        _flush(folder, os.O_RDONLY | os.O_DIRECTORY)


def _flush(path: Path, flags: int = os.O_RDWR) -> None:
    """Wait until a file is on the disk."""
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot do this
            raise
    finally:
        os.close(descriptor)


def _machine() -> str:
    return re.sub(r"\W", "_", platform.node(), flags=re.ASCII)[:30] or "unknown"


def _is_abandoned(path: Path) -> bool:
    """Check for a temporary name of a dead process; elsewhere than on this machine it must be a day old."""
    match = _TEMPORARY.fullmatch(path.name)
    if match is None:
        return False
    if match["machine"] in (None, _machine()) and os.name != "nt":
        # The number of this process is one that a dead process had, as in a container that was started again.
        process = int(match["process"])
        return process == os.getpid() or not _is_alive(process)
    try:
        return time.time() - path.stat().st_mtime > ABANDONED
    except OSError:
        return False


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's
        return True
    return True
