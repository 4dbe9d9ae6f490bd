"""Latents of an encoder that a run has trained: of use to this run alone, and gone with it."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from resemblance.training.cached.cached_outputs import MAX_CACHE_BYTES
from resemblance.training.cached.latent_cache import GIGABYTE, cache_folder, in_memory, no_room
from resemblance.training.cached.latent_file import Array


class TemporaryLatents:
    """Arrays of latents by key, for one process: in memory up to a limit, beyond it in files without a name.

    Args:
        gigabytes: the budget for all arrays of one encoder together.
        batch: images at a time in the passes that compute them.
        memory: bytes in memory; what comes then is written to a file.

    Example:
        >>> latents = TemporaryLatents(gigabytes=1, batch=32)
        >>> latents.array("key", (2, 3), "float32", lambda: [np.ones((2, 3), np.float32)]).sum(), "key" in latents
        (np.float32(6.0), True)
    """

    def __init__(self, gigabytes: float, batch: int, memory: int = MAX_CACHE_BYTES) -> None:
        self.budget, self.batch, self.memory = int(gigabytes * GIGABYTE), batch, memory
        self._arrays: dict[str, Array] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._arrays

    def clear(self) -> None:
        """Forget everything, because the encoder has changed; it would not be found again."""
        self._arrays.clear()

    def array(
        self, key: str, shape: tuple[int, ...], dtype: str, compute: Callable[[], Iterable[Array]]
    ) -> Array:
        """Return the array of that key; compute and keep it if it is not there.

        Args:
            key: letters and digits.
            shape: of the array.
            dtype: its NumPy type.
            compute: yields its rows, block by block.

        Raises:
            UserError: if the disk is full.
        """
        if key not in self._arrays:
            size = math.prod(shape) * np.dtype(dtype).itemsize
            held = sum(array.nbytes for array in self._arrays.values() if not isinstance(array, np.memmap))
            make = in_memory if held + size <= self.memory else _in_file
            self._arrays[key] = make(shape, dtype, compute())
        return self._arrays[key]


def _in_file(shape: tuple[int, ...], dtype: str, blocks: Iterable[Array]) -> Array:
    """Write an array to a file that vanishes when the array does, also if the process is killed."""
    folder, size = cache_folder(), math.prod(shape) * np.dtype(dtype).itemsize
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            for block in blocks:
                file.write(np.ascontiguousarray(block, dtype).data.cast("B"))
            file.flush()
            return np.memmap(file, dtype, "r", shape=shape)
    except OSError:
        raise no_room(size, folder) from None
