"""Read a pickled file of tensors whose other objects, such as the arguments of a training script, become inert."""

from __future__ import annotations

import pickle
import pickletools
import re
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.serialization import add_safe_globals, clear_safe_globals, get_safe_globals

PLAIN = {"builtins.bool", "builtins.bytearray", "builtins.bytes", "builtins.complex", "builtins.dict"}
PLAIN |= {"builtins.float", "builtins.frozenset", "builtins.int", "builtins.list", "builtins.object"}
PLAIN |= {"builtins.range", "builtins.set", "builtins.slice", "builtins.str", "builtins.tuple"}
# Modules whose functions no training script needs to store, but an attack does. torch itself blocks os and sys.
SUSPICIOUS = {"builtins", "ctypes", "importlib", "multiprocessing", "nt", "os", "posix", "pty", "runpy"}
SUSPICIOUS |= {"shutil", "socket", "subprocess", "sys", "webbrowser"}
MAPPINGS = {"collections.defaultdict"}
LISTS = {"collections.deque"}
MOST_KINDS = 16  # of mappings and lists whose kind is only seen while reading


class Inert:
    """What remains of an object that is no tensor: the name of its class. Nothing of the class is imported or run."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Ignore all arguments."""
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, item: Any) -> None:
        """Ignore an item."""

    def extend(self, items: Any) -> None:
        """Ignore items."""


class RefusedPickle(Exception):
    """A pickle calls what no training script needs.

    Args:
        name: the function.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def load_inert(path: Path) -> Any:
    """Read a file of `torch.save` by torch's own restricted unpickler; classes that it does not know become `Inert`.

    Mappings and lists keep their items, as plain ones, since a state dict can be among them.

    Raises:
        RefusedPickle: if it calls a function that could do harm; it is not called.
        pickle.UnpicklingError: if it cannot be read in this way.
    """
    names = foreign_globals(path)
    for name in sorted(names):
        if name.partition(".")[0] in SUSPICIOUS and name not in PLAIN:
            raise RefusedPickle(name)
    kinds: dict[str, type] = {name: dict for name in MAPPINGS} | {name: list for name in LISTS}
    for _ in range(MOST_KINDS):
        stand_ins = {name: _stand_in(name, kinds.get(name, object)) for name in names}
        try:
            with (
                warnings.catch_warnings(action="ignore"),
                path.open("rb") as file,
                _knowing(list(stand_ins.values())),
            ):
                return torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            shown = re.search(r"Can only (SETITEM|append).*but got <class '(.*)'>", str(error))
            if shown is None or kinds.get(shown.group(2)) is not None or shown.group(2) not in names:
                raise
            kinds[shown.group(2)] = dict if shown.group(1) == "SETITEM" else list
    raise pickle.UnpicklingError("too many kinds of mappings and lists")


@contextmanager
def _knowing(classes: list[Any]) -> Iterator[None]:
    """Let torch's unpickler know these classes inside the block."""
    before = get_safe_globals()
    add_safe_globals(classes)
    try:
        yield
    finally:
        clear_safe_globals()
        add_safe_globals(before)


def _stand_in(name: str, kind: type) -> Any:
    """Make a class with the name of another; its instances are inert, or plain mappings or lists."""
    module, _, short = name.rpartition(".")
    content: dict[str, Any] = {"__module__": module, "__qualname__": short}
    if kind is not object:
        plain: Any = OrderedDict if kind is dict else list
        content["__new__"] = lambda cls, *args, **kwargs: plain()
    return type(short, (Inert,), content)


def foreign_globals(path: Path) -> set[str]:
    """Return the classes and functions in a pickled file that torch does not know, by name; nothing is imported.

    Raises:
        Exception: of many types, if the file is damaged.
    """
    unpickler: Any = torch._weights_only_unpickler
    allowed: dict[str, Any] = getattr(
        unpickler, "_get_allowed_globals", dict
    )()  # a stand-in for one of these is not used
    return {name for name in _globals(path) if name not in allowed}


def _globals(path: Path) -> Iterator[str]:
    for operations in _pickles(path):
        for operation, argument, _ in operations:
            if operation.name == "GLOBAL":
                module, _, name = str(argument).partition(" ")
                module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
                yield f"{module}.{name}"


def _pickles(path: Path) -> Iterator[Iterator[tuple[Any, Any, Any]]]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            [name] = [name for name in archive.namelist() if name.endswith("data.pkl")]
            yield pickletools.genops(archive.read(name))
        return
    with path.open("rb") as file:  # before the tensors: magic number, protocol, system, content, storages
        for _ in range(5):
            yield pickletools.genops(file)


def is_pickle(path: Path) -> bool:
    """Check, without executing anything, whether the file or the ``data.pkl`` in it begins with a complete pickle."""
    try:
        for operations in _pickles(path):
            for _ in operations:
                pass
            break
    except Exception:  # damaged archives and pickles raise errors of many types
        return False
    return True
