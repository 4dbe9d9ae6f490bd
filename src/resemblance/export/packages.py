"""The packages that an export needs, which are not installed with the library."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from resemblance.config.errors import UserError

if TYPE_CHECKING:
    import onnx as onnx
    import onnxruntime as onnxruntime
    import onnxscript as onnxscript

NEEDED = ("onnx", "onnxruntime", "onnxscript")  # torch needs the last one to write a graph


class Packages(NamedTuple):
    """The modules of the packages."""

    onnx: ModuleType
    onnxruntime: ModuleType
    onnxscript: ModuleType


def import_packages() -> Packages:
    """Import the packages of the extra ``onnx``.

    Raises:
        UserError: if one is not installed, or cannot be loaded.
    """
    modules = []
    for name in NEEDED:
        try:
            modules.append(import_module(name))
        except ImportError as error:
            missing = isinstance(error, ModuleNotFoundError) and error.name == name
            problem = "is not installed" if missing else f"cannot be loaded ({str(error)[:200]})"
            raise UserError(f"{name} {problem}: pip install 'resemblance[onnx]'") from None
    return Packages(*modules)
