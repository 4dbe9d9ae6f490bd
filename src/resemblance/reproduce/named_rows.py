"""Find the files of experiments, and the rows and cells that a name means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from resemblance.config.errors import UserError
from resemblance.config.values import near
from resemblance.reproduce.experiment import Cell, Row, read_row

FOLDER = "experiments"


@dataclass(frozen=True)
class Chosen:
    """A cell of a row.

    Args:
        row: the row.
        cell: one of its cells.
    """

    row: Row
    cell: Cell

    @property
    def name(self) -> str:
        """``paper/table/row/cell``."""
        return f"{self.row.name}/{self.cell.name}"


def experiments_folder() -> Path:
    """Return the folder of the experiments: in the installed package, or beside ``src`` in a checkout.

    Raises:
        UserError: if the installation has none.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / FOLDER, package.parents[1] / FOLDER / "papers"):
        if folder.is_dir():
            return folder
    raise UserError("this installation has no experiments; install resemblance again, from its wheel")


def read_rows(folder: Path | None = None) -> dict[str, Row]:
    """Read all rows, by name.

    Args:
        folder: ``PAPER/TABLE/ROW.yaml``; by default the experiments of this library.

    Raises:
        UserError: if a file is not the description of a row, or there is none.
    """
    folder = folder or experiments_folder()
    rows = {}
    for path in sorted(folder.glob("*/*/*.yaml"), key=lambda path: _natural(path.as_posix())):
        name = path.relative_to(folder).with_suffix("").as_posix()
        rows[name] = read_row(path, name)
    if not rows:
        raise UserError(f"{folder} has no experiments; expected PAPER/TABLE/ROW.yaml")
    return rows


def choose(rows: dict[str, Row], names: Sequence[str]) -> list[Chosen]:
    """Return the cells that names mean, in the order of the rows.

    Args:
        rows: all rows by name.
        names: of papers, tables (``paper/table``), rows (``paper/table/row``) or cells, perhaps with * and ?.

    Raises:
        UserError: for a name that means nothing.

    Example:
        >>> rows = read_rows()
        >>> [chosen.name for chosen in choose(rows, ["prototypedl/section3.3/interpretable/mnist"])]
        ['prototypedl/section3.3/interpretable/mnist']
        >>> choose(rows, ["prototypedll"])
        Traceback (most recent call last):
        resemblance.config.errors.UserError: there is no experiment 'prototypedll'; did you mean 'prototypedl' ...
    """
    cells = [Chosen(row, cell) for row in rows.values() for cell in row.cells.values()]
    meant = set()
    for name in names:
        pattern = name.strip("/")
        matches = {one.name for one in cells if _means(pattern, one.name)}
        if not matches:
            depth = pattern.count("/")
            known = {part for one in cells for part in _prefixes(one.name) if part.count("/") == depth}
            raise UserError(
                f"there is no experiment {name!r}{near(pattern, sorted(known))} "
                "(resemblance reproduce, without a name, lists them)"
            )
        meant |= matches
    return [one for one in cells if one.name in meant]


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key by which table3 comes before table11."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _means(pattern: str, name: str) -> bool:
    return any(fnmatchcase(prefix, pattern) for prefix in _prefixes(name))


def _prefixes(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]
