"""Trees of files, in a folder or in a zip archive, read without unpacking."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath

from resemblance.config.errors import UserError

MAX_FILE = 1 << 30  # bytes of one unpacked file; beyond, an entry is taken for a bomb


class Tree(ABC):
    """Files by relative POSIX path.

    Attributes:
        names: all files, in natural order of their paths.
        folders: all folders below the root, empty ones too.
    """

    names: list[str]
    folders: set[str]

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The contents of a file."""

    @abstractmethod
    def shown(self, name: str) -> str:
        """What to call a file in messages."""


class Folder(Tree):
    """Files below a folder; links are followed, hidden files and folders left out."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names, self.folders = [], set()
        for current, folders, files in os.walk(root, followlinks=True):
            folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
            relative = Path(current).relative_to(root)
            self.folders.update((relative / folder).as_posix() for folder in folders)
            self.names += [(relative / file).as_posix() for file in files if not file.startswith(".")]
            if len(relative.parts) > 8:
                raise UserError(f"{root}: folders are nested more than 8 deep, or a link leads back; expected classes")
        self.names.sort()

    def read(self, name: str) -> bytes:
        """The contents of a file."""
        try:
            return (self.root / name).read_bytes()
        except OSError as error:
            raise UserError(f"{self.shown(name)}: {error.strerror}") from None

    def shown(self, name: str) -> str:
        """The path with the root."""
        return str(self.root / name)


class Archive(Tree):
    """Files in a zip archive; each process opens it for itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: tuple[int, zipfile.ZipFile] | None = None
        self._entries: dict[str, str] = {}
        self.folders = set()
        for entry in self._zip().infolist():
            self._enter(entry)
        self.names = sorted(self._entries)

    def _enter(self, entry: zipfile.ZipInfo) -> None:
        pure = PurePosixPath(entry.filename)
        outside = pure.is_absolute() or ".." in pure.parts or "\\" in entry.filename or ":" in entry.filename
        if outside:
            raise UserError(f"{self.path}: entry {entry.filename!r} points outside the archive; refused")
        if any(part.startswith(".") or part == "__MACOSX" for part in pure.parts):
            return
        self.folders.update(str(parent) for parent in pure.parents if str(parent) != ".")
        if entry.is_dir():
            self.folders.add(str(pure))
            return
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise UserError(f"{self.path}: entry {entry.filename!r} is a link; refused")
        if entry.flag_bits & 1:
            raise UserError(f"{self.path}: entry {entry.filename!r} is encrypted; unpack the archive first")
        self._entries[str(pure)] = entry.filename

    def _zip(self) -> zipfile.ZipFile:
        # A file handle shared after a fork would be read from two places at once.
        if self._opened is None or self._opened[0] != os.getpid():
            try:
                self._opened = os.getpid(), zipfile.ZipFile(self.path)
            except (zipfile.BadZipFile, zipfile.LargeZipFile, OSError) as error:
                raise UserError(f"{self.path}: no zip archive that can be read ({error})") from None
        return self._opened[1]

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_opened": None}

    def read(self, name: str) -> bytes:
        """The contents of an entry."""
        archive, entry = self._zip(), self._entries[name]
        if archive.getinfo(entry).file_size > MAX_FILE:
            raise UserError(f"{self.shown(name)}: unpacks to over {MAX_FILE >> 20} MiB; refused")
        try:
            return archive.read(entry)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
            raise UserError(f"{self.shown(name)}: damaged in the archive ({error})") from None

    def shown(self, name: str) -> str:
        """The archive's path and the entry's."""
        return f"{self.path}:{name}"
