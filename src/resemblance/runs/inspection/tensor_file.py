"""Read shapes and single tensors of a safetensors file as NumPy arrays, without torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from resemblance.config.errors import UserError
from resemblance.printing.characters import printable

FLOATS = ("F16", "F32", "F64")
NUMPY = ("BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", *FLOATS)  # the types that NumPy has
CHUNK = 1 << 24  # values that are checked at a time


@dataclass(frozen=True)
class TensorFile:
    """What the header of a safetensors file says, and the tensors on demand.

    Args:
        path: the file.
        shapes: the shape of each tensor, by name.
    """

    path: Path
    shapes: dict[str, tuple[int, ...]]

    @property
    def values(self) -> int:
        """The number of values of all tensors."""
        return sum(map(math.prod, self.shapes.values()))

    def read(self, name: str) -> NDArray[Any] | None:
        """Return a tensor; None if there is none, or NumPy lacks its type."""
        if name not in self.shapes:
            return None
        with safe_open(self.path, "numpy") as file:
            if file.get_slice(name).get_dtype() not in NUMPY:
                return None
            array: NDArray[Any] = file.get_tensor(name)
            return array

    def not_finite(self, ends: tuple[str, ...]) -> dict[str, int]:
        """Count the infinite and NaN values of tensors; types that NumPy lacks, such as bfloat16, are passed over.

        Args:
            ends: how the names of the tensors end.

        Returns:
            The counts by name, without those that are 0.
        """
        with safe_open(self.path, "numpy") as file:
            counts = {
                name: sum(int((~np.isfinite(part)).sum()) for part in self._parts(file, name))
                for name in self.shapes
                if name.endswith(ends) and file.get_slice(name).get_dtype() in FLOATS
            }
        return {name: count for name, count in counts.items() if count}

    def _parts(self, file: Any, name: str) -> Iterator[NDArray[Any]]:
        """Yield a tensor in rows of about `CHUNK` values, so that a large one needs little memory."""
        shape = self.shapes[name]
        if not shape or not math.prod(shape):
            yield file.get_tensor(name)
            return
        rows = max(CHUNK // math.prod(shape[1:]), 1)
        for start in range(0, shape[0], rows):
            yield file.get_slice(name)[start : min(start + rows, shape[0])]


def read_tensor_file(path: Path, place: str) -> TensorFile:
    """Read the header of a safetensors file; the library that loads models checks it.

    Args:
        path: the file.
        place: its name in messages.

    Raises:
        UserError: if it is not such a file, is cut off, or has bytes that belong to no tensor.
    """
    try:
        with safe_open(path, "numpy") as file:
            return TensorFile(path, {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()})  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        reason = printable(error)[:200]
    raise UserError(f"{place} is not a safetensors file, or a damaged or incomplete one: {reason}")
