"""Trees of files in folders or zip archives, which are read without unpacking them."""

from __future__ import annotations

import os
import re
import stat
import zipfile
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from resemblance.config.errors import UserError
from resemblance.data.formats.zip_names import zip_names
from resemblance.data.text import one_line, reason

MAX_FILE = 1 << 29  # bytes; larger files cannot be images of a data set
JUNK = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx"}


class Tree(ABC):
    """Files by relative POSIX path.

    Attributes:
        names: all files, in the order of their paths.
        folders: all folders below the root, empty ones too.
        notes: messages about how the names were read.
    """

    names: list[str]
    folders: set[str]
    notes: Sequence[str] = ()

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return the contents of a file."""

    @abstractmethod
    def shown(self, name: str) -> str:
        """Return the name of a file for messages."""

    @abstractmethod
    def stamp(self, name: str) -> str:
        """Return a text that changes whenever a file does, without reading it."""

    @cached_property
    def children(self) -> dict[str, list[str]]:
        """The names of the folders directly in each folder; the root is ``""``."""
        return _by_parent(sorted(self.folders))

    @cached_property
    def files(self) -> dict[str, list[str]]:
        """The names of the files directly in each folder."""
        return _by_parent(self.names)


def _by_parent(paths: Iterable[str]) -> dict[str, list[str]]:
    names: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        parent, _, name = path.rpartition("/")
        names[parent].append(name)
    return dict(names)


def _is_junk(name: str) -> bool:
    """Check for hidden files, and for files that file managers create."""
    return name.startswith(".") or name.lower() in JUNK


class Folder(Tree):
    """Files below a folder; links are followed, hidden files and folders are left out.

    Args:
        root: the folder.
        only: the files to take; by default all.

    Attributes:
        junk: the hidden files and folders, and those of file managers, that were left out.

    Raises:
        UserError: for a folder that cannot be listed, or a link to a folder above it.
    """

    def __init__(self, root: Path, only: Iterable[str] | None = None) -> None:
        self.root = root
        self.names, self.folders = [], set()
        self.junk: list[str] = []
        if only is not None:
            self.names = sorted(only)
            self.folders = {str(parent) for name in self.names for parent in PurePosixPath(name).parents} - {
                "."
            }
            return
        waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
        while waiting:
            folder, above = waiting.pop()
            try:
                status = os.stat(root / folder)
                entries = list(os.scandir(root / folder))
            except OSError as error:
                raise UserError(f"{self.shown(folder)}: {reason(error)}") from None
            identity = status.st_dev, status.st_ino
            if identity in above:
                raise UserError(f"{self.shown(folder)}: a link to a folder above it; remove it")
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if _is_junk(entry.name):
                    self.junk.append(path)
                elif entry.is_dir():
                    self.folders.add(path)
                    waiting.append((path, above | {identity}))
                else:
                    self.names.append(path)
        self.names.sort()

    def read(self, name: str) -> bytes:
        """Return the contents of a file."""
        path = self.root / name
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait forever
                raise UserError(f"{self.shown(name)}: not a regular file")
            if status.st_size > MAX_FILE:
                raise UserError(f"{self.shown(name)}: over {MAX_FILE >> 20} MiB; refused")
            return path.read_bytes()
        except OSError as error:
            raise UserError(f"{self.shown(name)}: {reason(error)}") from None

    def shown(self, name: str) -> str:
        """Return the path with the root."""
        return one_line(self.root / name)

    def stamp(self, name: str) -> str:
        """Return the size of a file, and the times of its last changes."""
        try:
            status = (self.root / name).stat()
        except OSError as error:
            raise UserError(f"{self.shown(name)}: {reason(error)}") from None
        return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


class Archive(Tree):
    """Files in a zip archive; each process opens it for itself.

    Raises:
        UserError: for a damaged archive, and for entries that point outside, are links, encrypted or duplicates.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: tuple[int, zipfile.ZipFile] | None = None
        self._entries: dict[str, str] = {}
        self.folders = set()
        entries = self._zip().infolist()
        names = zip_names(entries)
        for entry, name in zip(entries, names.names, strict=True):
            self._add(entry, name)
        self.names = sorted(self._entries)
        self.notes = []
        if names.guessed:
            example = next((name for name in self.names if not name.isascii()), "")
            self.notes.append(
                f"the archive does not say how its names are encoded; they were read as {names.guessed}: "
                f"{one_line(example)}"
            )

    def _add(self, entry: zipfile.ZipInfo, name: str) -> None:
        filename = name.replace("\\", "/")  # some archives made on Windows
        pure = PurePosixPath(filename)
        shown = f"{one_line(self.path)}: entry {one_line(name)!r}"
        if pure.is_absolute() or ".." in pure.parts or re.match("[A-Za-z]:", filename):
            raise UserError(f"{shown} points outside the archive; refused")
        if any(_is_junk(part) for part in pure.parts):
            return
        self.folders.update(str(parent) for parent in pure.parents if str(parent) != ".")
        if filename.endswith("/"):
            self.folders.add(str(pure))
            return
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise UserError(f"{shown} is a link; refused")
        if entry.flag_bits & 1:
            raise UserError(f"{shown} is encrypted; unpack the archive and use the folder")
        if str(pure) in self._entries:
            raise UserError(f"{shown} occurs twice; refused")
        self._entries[str(pure)] = entry.filename

    def _zip(self) -> zipfile.ZipFile:
        # Two processes must not share a file handle after a fork.
        if self._opened is None or self._opened[0] != os.getpid():
            try:
                self._opened = os.getpid(), zipfile.ZipFile(self.path)
            except Exception as error:  # struct.error, ValueError and more for damaged directories
                raise UserError(
                    f"{one_line(self.path)}: not a readable zip archive ({reason(error)})"
                ) from None
        return self._opened[1]

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_opened": None}

    def read(self, name: str) -> bytes:
        """Return the contents of an entry."""
        archive, entry = self._zip(), self._entries[name]
        if archive.getinfo(entry).file_size > MAX_FILE:
            raise UserError(f"{self.shown(name)}: unpacks to over {MAX_FILE >> 20} MiB; refused")
        try:
            return archive.read(entry)
        except Exception as error:  # each compression has its own exceptions
            raise UserError(f"{self.shown(name)}: damaged in the archive ({reason(error)})") from None

    def shown(self, name: str) -> str:
        """Return the path of the archive and of the entry."""
        return one_line(f"{self.path}:{name}")

    def stamp(self, name: str) -> str:
        """Return the size and the checksum of an entry."""
        entry = self._zip().getinfo(self._entries[name])
        return f"{entry.file_size} {entry.CRC}"


class Bundle(Tree):
    """Several trees as one, each in its own folder.

    Args:
        trees: folder → tree; if a tree has only one folder, of the same name, that folder is used as its root.
    """

    def __init__(self, trees: dict[str, Tree]) -> None:
        self._places: dict[str, tuple[Tree, str]] = {}
        self.folders = set(trees)
        for folder, tree in trees.items():
            wrapped = tree.children.get("") == [folder] and "" not in tree.files
            start = "" if wrapped else f"{folder}/"
            self._places.update({start + name: (tree, name) for name in tree.names})
            self.folders.update(start + child for child in tree.folders)
        self.names = sorted(self._places)

    def read(self, name: str) -> bytes:
        """Return the contents of a file, from its tree."""
        tree, inner_name = self._places[name]
        return tree.read(inner_name)

    def shown(self, name: str) -> str:
        """Return the name of a file in messages, from its tree."""
        tree, inner_name = self._places[name]
        return tree.shown(inner_name)

    def stamp(self, name: str) -> str:
        """Return the stamp of a file, from its tree."""
        tree, inner_name = self._places[name]
        return tree.stamp(inner_name)


def open_tree(path: Path, what: str) -> Tree:
    """Open a folder or a zip archive.

    Args:
        path: the folder or the archive.
        what: what it should contain, for messages.

    Raises:
        UserError: if there is none, or the archive is damaged.
    """
    if not path.exists():
        raise UserError(f"{one_line(path)}: no such folder or zip archive of {what}")
    return Folder(path) if path.is_dir() else Archive(path)
