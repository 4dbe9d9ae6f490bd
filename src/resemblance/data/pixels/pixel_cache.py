"""Keep the pixels of images at a model's size in a temporary file, so that each image is decoded once in a run.

The operating system holds as much of the file in memory as there is room for. All processes of a run share it: loader
processes, and those of several devices. Nothing depends on it but time: what is not there is decoded again.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256
from io import FileIO
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resemblance.config.image import ImageSpec
from resemblance.writing import beside, remove_leftovers

PRESENT = b"\1"  # the byte before the pixels of an image that is there
_NUMBERS = count()


class PixelCache:
    """The pixels of a source's images by index, one file for each kind of preparation.

    A file has one place per image: a byte that is written last, after the pixels. So a process that is killed leaves no
    half of an image, and processes that write the same image at the same time write the same bytes. The folder is
    removed with the object that made it, at the latest when its process ends; what killed processes left, by the next
    one.

    Args:
        limit: bytes of each file; images whose place would be beyond are not kept.

    Raises:
        OSError: if nothing can be written in the folder of temporary files.

    Example:
        >>> cache, spec = PixelCache(1 << 20), ImageSpec(2, 2, 1, (0.5,), (0.5,))
        >>> cache.put(3, spec, np.full((2, 2, 1), 7, np.uint8))
        >>> cache.get(2, spec), cache.get(3, spec).flatten().tolist()
        (None, [7, 7, 7, 7])
    """

    def __init__(self, limit: int) -> None:
        target = Path(tempfile.gettempdir()) / f"resemblance-pixels-{next(_NUMBERS)}"
        remove_leftovers(target)
        folder = beside(target)
        folder.mkdir(mode=0o700)
        weakref.finalize(self, _remove, folder, os.getpid())
        self.__setstate__({"folder": folder, "limit": limit})

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs to read and write the same files."""
        return {"folder": self.folder, "limit": self.limit}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.folder: Path = state["folder"]
        self.limit: int = state["limit"]
        self._files: dict[str, FileIO | None] = {}
        # A file has one position, which threads must not move at the same time.
        self._process, self._lock = os.getpid(), threading.Lock()

    def get(self, index: int, spec: ImageSpec) -> NDArray[np.uint8] | None:
        """Return the pixels (H, W, C) of an image as a model of ``spec`` reads it; None if they are not kept."""
        pixels = np.empty((spec.height, spec.width, spec.channels), np.uint8)
        with self._lock_of_process(), suppress(OSError):
            file, place = self._file(spec), index * (1 + pixels.size)
            if file is not None:
                file.seek(place)
                if file.read(1) == PRESENT and file.readinto(pixels.data) == pixels.size:
                    return pixels
        return None

    def put(self, index: int, spec: ImageSpec, pixels: NDArray[np.uint8]) -> None:
        """Keep the pixels (H, W, C) of an image as a model of ``spec`` reads it, if there is room."""
        place = index * (1 + pixels.size)
        if place + 1 + pixels.size > self.limit:
            return
        with self._lock_of_process():
            try:
                file = self._file(spec)
                if file is not None:
                    file.seek(place + 1)
                    if file.write(np.ascontiguousarray(pixels).data) == pixels.size:
                        file.seek(place)
                        file.write(PRESENT)
            except OSError:  # the disk is full
                self.limit = 0

    def _lock_of_process(self) -> threading.Lock:
        """Return the lock; a process that was forked opens the files itself, since it would share their positions."""
        if self._process != os.getpid():
            self.__setstate__(self.__getstate__())
        return self._lock

    def _file(self, spec: ImageSpec) -> FileIO | None:
        """Return the file of a preparation, opened; None if it cannot be."""
        name = _name(spec)
        if name not in self._files:
            self._files[name] = None
            with suppress(OSError):
                self._files[name] = FileIO(self.folder / name, "r+", opener=_open_or_make)
        return self._files[name]


@lru_cache
def _name(spec: ImageSpec) -> str:
    """Return the name of the file for a preparation: equal for models that read the same pixels."""
    zeros, ones = (0.0,) * spec.channels, (1.0,) * spec.channels
    padding = spec.padding if spec.resize == "pad" else zeros
    same = replace(spec, mean=zeros, std=ones, padding=padding, window=None)  # the window is the source's
    return sha256(repr(same).encode()).hexdigest()[:16]


def _open_or_make(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT, 0o600)


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:  # and not one that was forked from it
        shutil.rmtree(folder, ignore_errors=True)
