"""The published files of benchmark data sets: find their folder, and say what a wrong folder or archive is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resemblance.config.errors import UserError
from resemblance.data.benchmarks.published_sums import ARCHIVES, on_archives
from resemblance.data.text import listed, one_line, reason

Alternatives = tuple[str, ...]  # paths of which one is needed, the usual one first


@dataclass(frozen=True)
class PublishedData:
    """What a data set consists of.

    Args:
        title: its name.
        needed: the files and folders that are needed, relative to its folder; of each, the paths where it can lie.
    """

    title: str
    needed: tuple[Alternatives, ...]

    def path(self, folder: Path, number: int) -> Path:
        """Return the place of a needed file or folder in a folder that has everything."""
        path = _present(folder, self.needed[number])
        assert path is not None
        return path


def find_folder(place: Path, *layouts: PublishedData) -> tuple[Path, PublishedData]:
    """Return the folder of a data set: the one that is given, the one above it, or one directly below it.

    Args:
        place: what the user gave.
        layouts: what is needed; one of several, the usual one first.

    Returns:
        The folder, and which layout it has.

    Raises:
        UserError: if none has all that is needed; the message says whether there is an archive that has to be unpacked,
            a folder that was copied in part, or something else.

    Example:
        >>> from tempfile import mkdtemp
        >>> place, data = Path(mkdtemp()), PublishedData("the birds", (("images.txt",), ("images",)))
        >>> (place / "birds" / "images").mkdir(parents=True)
        >>> (place / "birds" / "images.txt").touch()
        >>> find_folder(place, data)[0].name
        'birds'
    """
    candidates = [place, *_folders_in(place), place.resolve().parent]
    for data in layouts:
        for folder in candidates:
            if all(_present(folder, paths) is not None for paths in data.needed):
                return folder, data
    data = layouts[0]
    counts = [sum(_present(folder, paths) is not None for paths in data.needed) for folder in candidates]
    best = counts.index(max(counts))
    usual = listed([paths[0] for paths in data.needed])
    if counts[best] and best < len(candidates) - 1:
        folder = candidates[best]
        there = [paths[0] for paths in data.needed if _present(folder, paths) is not None]
        absent = [paths[0] for paths in data.needed if _present(folder, paths) is None]
        packed = [name for name in _names_in(folder) if name.lower().endswith(ARCHIVES)]
        doubt = f"unpack {listed(packed, 3)}" if packed else "was it copied or unpacked completely?"
        raise UserError(
            f"{one_line(folder)}: has {listed(there)} of {data.title}, but not {listed(absent)}; {doubt}"
        )
    archives = [name for name in _names_in(place) if name.lower().endswith(ARCHIVES)]
    if archives:
        raise UserError(on_archives(place, archives, data.title))
    raise UserError(f"{one_line(place)}: not the folder of {data.title}, which has {usual}")


def check_listed(
    folder: Path, names: Sequence[str], table: str, skip_bad_images: bool, notes: list[str]
) -> set[str]:
    """Check that files that a table names are there; return those that are not, if they are to be left out.

    Args:
        folder: the folder of the data set.
        names: the files, relative to it.
        table: the name of the table, for messages.
        skip_bad_images: whether files may be missing, with a note.
        notes: receives the note.

    Raises:
        UserError: if files are missing; the message gives their number and the first one.
    """
    present: dict[str, set[str]] = {}
    for parent in {name.rpartition("/")[0] for name in names}:
        present[parent] = set(_names_in(folder / parent))
    missing = [name for name in names if name.rpartition("/")[2] not in present[name.rpartition("/")[0]]]
    if not missing:
        return set()
    count = "1 of them is" if len(missing) == 1 else f"{len(missing):,} of them are"
    message = f"{table} names {len(names):,} images, {count} missing: the first is {one_line(missing[0])}"
    if not skip_bad_images or len(missing) == len(names):
        raise UserError(f"{one_line(folder)}: {message}; was it copied or unpacked completely?")
    notes.append(f"{message}; left out")
    return set(missing)


def _present(folder: Path, paths: Alternatives) -> Path | None:
    return next((folder / path for path in paths if (folder / path).exists()), None)


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _folders_in(place: Path) -> list[Path]:
    try:
        return sorted(Path(entry.path) for entry in os.scandir(place) if entry.is_dir())
    except OSError as error:
        raise UserError(f"{one_line(place)}: {reason(error)}") from None
