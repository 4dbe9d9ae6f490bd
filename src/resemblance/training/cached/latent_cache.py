"""The folder in which latents are kept from run to run, within a budget."""

from __future__ import annotations

import errno
import math
import os
import shutil
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np

from resemblance.config.errors import UserError
from resemblance.printing.lines import FolderWarning
from resemblance.training.cached.cached_outputs import MAX_CACHE_BYTES
from resemblance.training.cached.latent_file import Array, read_latents, write_latents
from resemblance.writing import CannotWriteError, clean

GIGABYTE = 10**9
SUFFIX = ".latents"


def cache_folder() -> Path:
    """Return where latents are kept: in ``$RESEMBLANCE_CACHE``, else below the user's cache folder."""
    if folder := os.environ.get("RESEMBLANCE_CACHE"):
        return Path(folder).expanduser() / "latents"
    user = os.environ.get("XDG_CACHE_HOME")
    return (Path(user) if user else Path.home() / ".cache") / "resemblance" / "latents"


def in_memory(shape: tuple[int, ...], dtype: str, blocks: Iterable[Array]) -> Array:
    """Return the array of those rows."""
    array, start = np.empty(shape, dtype), 0
    for block in blocks:
        array[start : start + len(block)] = block
        start += len(block)
    return array


def no_room(size: int, folder: Path) -> UserError:
    """Return the error of a disk without room for so many bytes."""
    return UserError(
        f"no room for {size / GIGABYTE:.1f} GB of latents in {folder}; make room, set RESEMBLANCE_CACHE to a folder "
        "with more, or train without them: --latent-cache 0"
    )


class LatentCache:
    """Arrays of latents by key, for later runs too. The least recently used are removed when the budget is used up.

    Several runs may use the folder at once: files appear complete, equal keys have equal contents, and a file that is
    removed stays readable for the run that has mapped it.

    Args:
        folder: where the files are.
        gigabytes: the budget for all files together.
    """

    def __init__(self, folder: Path, gigabytes: float) -> None:
        self.folder, self.budget = folder, int(gigabytes * GIGABYTE)
        self.batch: int | None = None  # images at a time: the same in all runs
        self._used: dict[Path, Array] = {}

    @classmethod
    def of_user(cls, gigabytes: float) -> LatentCache:
        """Return the cache in the user's folder."""
        return cls(cache_folder(), gigabytes)

    def __contains__(self, key: str) -> bool:
        return self._path(key) in self._used or self._path(key).exists()

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{SUFFIX}"

    def array(
        self, key: str, shape: tuple[int, ...], dtype: str, compute: Callable[[], Iterable[Array]]
    ) -> Array:
        """Return the array of that key; compute and keep it if it is not there.

        If the disk is full, an array of at most 2 GiB stays in memory, with a warning. What is returned never depends
        on where it was kept.

        Args:
            key: letters and digits.
            shape: of the array.
            dtype: its NumPy type.
            compute: yields its rows, block by block.

        Raises:
            UserError: if the disk is full and the array too large for the memory.

        Warns:
            FolderWarning: if the latents cannot be kept.
        """
        path = self._path(key)
        if path not in self._used:
            self._used[path] = self._array(path, shape, dtype, compute)
        return self._used[path]

    def _array(
        self, path: Path, shape: tuple[int, ...], dtype: str, compute: Callable[[], Iterable[Array]]
    ) -> Array:
        array = read_latents(path)
        if array is not None and array.shape == shape and array.dtype == dtype:
            with suppress(OSError):
                os.utime(path)  # used last now
            return array
        size = math.prod(shape) * np.dtype(dtype).itemsize
        self._make_room(size)
        try:
            self._check_disk(path, size)
            write_latents(path, shape, dtype, compute())
        except CannotWriteError as error:
            if size > MAX_CACHE_BYTES:
                raise no_room(size, self.folder) from None
            warnings.warn(f"{error.problem}; the latents stay in memory", FolderWarning, stacklevel=2)
            return in_memory(shape, dtype, compute())
        written = read_latents(path)
        if written is None and size > MAX_CACHE_BYTES:
            raise UserError(f"{path} was written, but is gone or damaged; repeat the command")
        # A run with a smaller budget may have removed it.
        return in_memory(shape, dtype, compute()) if written is None else written

    def _check_disk(self, path: Path, size: int) -> None:
        """Raise the error of a full disk now, and not after hours of computing."""
        with suppress(OSError):  # the folder cannot be made, or nothing is known of its disk
            self.folder.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(self.folder).free < size:
                raise CannotWriteError(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    def _make_room(self, size: int) -> None:
        """Remove the least recently used files until another one of that size is within the budget."""
        clean(self.folder)
        files: list[tuple[float, int, Path]] = []
        for path in self.folder.glob(f"*{SUFFIX}"):
            with suppress(OSError):
                status = path.stat()
                files.append((status.st_mtime, status.st_size, path))
        total = sum(file_size for _, file_size, _ in files)
        for _, file_size, path in sorted(files):
            if total + size <= self.budget:
                break
            if path not in self._used:
                with suppress(OSError):
                    path.unlink()
                    total -= file_size
