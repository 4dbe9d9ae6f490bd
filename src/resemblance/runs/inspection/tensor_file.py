"""Read the header of a safetensors file, and single tensors of it as NumPy arrays, without torch.

The format: eight bytes with the length of the header (little-endian), the header as JSON (name → type, shape, and first
and last byte), and the values of all tensors without gaps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from resemblance.config.errors import UserError
from resemblance.config.files.json_file import parse_object
from resemblance.printing.characters import printable

LARGEST_HEADER = 50_000_000  # bytes
BYTES_OF = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}
NUMPY = {
    "BOOL": "?",
    "U8": "u1",
    "I8": "i1",
    "U16": "<u2",
    "I16": "<i2",
    "F16": "<f2",
    "U32": "<u4",
    "I32": "<i4",
    "F32": "<f4",
    "U64": "<u8",
    "I64": "<i8",
    "F64": "<f8",
}
CHUNK = 1 << 24  # values that are checked at a time
BFLOAT_EXPONENT = 0x7F80  # all bits of the exponent are set in infinity and NaN


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file.

    Args:
        dtype: its type, as safetensors names it.
        shape: its shape.
        start: its first byte in the file.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int

    @property
    def count(self) -> int:
        """The number of values."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """The number of bytes."""
        return self.count * BYTES_OF[self.dtype]


@dataclass(frozen=True)
class TensorFile:
    """The header of a safetensors file.

    Args:
        path: the file.
        tensors: what the header says, by name.
    """

    path: Path
    tensors: dict[str, StoredTensor]

    @property
    def values(self) -> int:
        """The number of values of all tensors."""
        return sum(tensor.count for tensor in self.tensors.values())

    def read(self, name: str) -> NDArray[Any] | None:
        """Return a tensor, read from the file on demand; None if there is none, or NumPy lacks its type."""
        tensor = self.tensors.get(name)
        if tensor is None or tensor.dtype not in NUMPY:
            return None
        return self._map(tensor, NUMPY[tensor.dtype]).reshape(tensor.shape)

    def not_finite(self, name: str) -> int:
        """Count the infinite and NaN values of a tensor; 0 for types of which NumPy cannot tell."""
        tensor = self.tensors[name]
        if tensor.dtype == "BF16":
            bits = self._map(tensor, "<u2")
            return sum(int(((part & BFLOAT_EXPONENT) == BFLOAT_EXPONENT).sum()) for part in _parts(bits))
        if tensor.dtype not in ("F16", "F32", "F64"):
            return 0
        values = self._map(tensor, NUMPY[tensor.dtype])
        return sum(int((~np.isfinite(part)).sum()) for part in _parts(values))

    def _map(self, tensor: StoredTensor, dtype: str) -> NDArray[Any]:
        if not tensor.count:
            return np.empty(0, dtype)
        return np.memmap(self.path, dtype, "r", tensor.start, (tensor.count,))


def read_tensor_file(path: Path, place: str) -> TensorFile:
    """Read and check the header of a safetensors file.

    Args:
        path: the file.
        place: its name in messages.

    Raises:
        UserError: if it is not such a file, is cut off, or has bytes that belong to no tensor.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > min(LARGEST_HEADER, max(size - 8, 0)):
            raise UserError(
                f"{place} is not a safetensors file, or only the beginning of one: it has no header"
            )
        header = parse_object(file.read(length), f"the header of {place}")
    first = 8 + length
    header.pop("__metadata__", None)
    tensors = {name: _tensor(entry, name, first, place) for name, entry in header.items()}
    end = first
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].bytes)):
        if tensor.start != end:
            raise UserError(
                f"{place} is damaged: the tensor {_short(name)} does not begin where the one before ends"
            )
        end += tensor.bytes
    if size < end:
        raise UserError(
            f"{place} is cut off: {end - size} of the {end} bytes are missing that its header describes"
        )
    if size > end:
        raise UserError(f"{place} has {size - end} bytes after the last tensor, which belong to no tensor")
    return TensorFile(path, tensors)


def _tensor(entry: Any, name: str, first: int, place: str) -> StoredTensor:
    problem = UserError(f"{place} is damaged: the header describes the tensor {_short(name)} wrongly")
    if not isinstance(entry, dict) or entry.get("dtype") not in BYTES_OF:
        raise problem
    shape, offsets = entry.get("shape"), entry.get("data_offsets")
    if not (_naturals(shape) and _naturals(offsets) and len(offsets) == 2):
        raise problem
    tensor = StoredTensor(entry["dtype"], tuple(shape), first + offsets[0])
    if tensor.bytes != offsets[1] - offsets[0]:
        raise problem
    return tensor


def _naturals(values: Any) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _short(name: str) -> str:
    return printable(name[:100])


def _parts(values: NDArray[Any]) -> list[NDArray[Any]]:
    return [values[start : start + CHUNK] for start in range(0, len(values), CHUNK)]
