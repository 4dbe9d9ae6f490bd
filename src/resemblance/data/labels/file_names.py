"""Match the file names of a table to image files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from resemblance.data.images import SUFFIXES
from resemblance.data.text import composed

Parts = tuple[str, ...]


class FileNames:
    """Image files by their names, with and without suffixes.

    Args:
        files: their paths, with slashes.

    Example:
        >>> names = FileNames(["train/a.png", "test/a.png", "test/b.png"])
        >>> names.find("b"), names.find("train/a.jpg"), names.find("a.png"), names.find("c.png")
        (['test/b.png'], ['train/a.png'], ['train/a.png', 'test/a.png'], [])
        >>> names.find("/home/someone/data/test/b.png")
        ['test/b.png']
    """

    def __init__(self, files: Iterable[str]) -> None:
        self._by_stem: defaultdict[str, list[tuple[Parts, str]]] = defaultdict(list)
        for file in files:
            parts = split_path(file)
            self._by_stem[without_suffix(parts[-1])].append((parts, file))

    def find(self, name: str) -> list[str]:
        """Return the files that a name means: those whose path has most in common with it, from the end on.

        A suffix in the name counts only where several files differ in nothing else.
        """
        parts = split_path(name)
        if not parts:
            return []
        candidates = self._by_stem.get(without_suffix(parts[-1]), [])
        if not candidates and not parts[-1].lower().endswith(SUFFIXES):
            return []
        if len(candidates) > 1:
            common = [_common_folders(parts, other) for other, _ in candidates]
            candidates = [one for one, count in zip(candidates, common, strict=True) if count == max(common)]
        if len(candidates) > 1:
            exact = [one for one in candidates if one[0][-1] == parts[-1]]
            candidates = exact or candidates
        if len(candidates) > 1:
            shortest = [one for one in candidates if len(one[0]) == len(parts)]
            candidates = shortest or candidates
        return [file for _, file in candidates]


def split_path(name: str) -> Parts:
    """Return the folders and the name of a path, composed, without empty ones."""
    return tuple(part for part in composed(name).replace("\\", "/").split("/") if part not in ("", "."))


def without_suffix(name: str) -> str:
    """Return a file name without the suffix of an image."""
    return name.rpartition(".")[0] if name.lower().endswith(SUFFIXES) else name


def _common_folders(first: Sequence[str], second: Sequence[str]) -> int:
    """Return how many folders before the file names are the same, from the end on."""
    count = 0
    for one, other in zip(first[-2::-1], second[-2::-1], strict=False):
        if one != other:
            break
        count += 1
    return count
