"""What an inspection finds wrong, in plain words."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from resemblance.config.errors import UserError
from resemblance.printing.characters import printable

Kind = Literal["unreadable", "missing", "changed", "foreign", "contradiction", "unknown"]
Content = TypeVar("Content")
NAMED = 5  # the largest number of names in a sentence


@dataclass(frozen=True)
class Finding:
    """Something in a folder that is wrong.

    Args:
        kind: ``unreadable`` (damaged), ``missing``, ``changed`` (another content than its checksum says), ``foreign``
            (does not belong there), ``contradiction`` (two parts of the folder say different things) or ``unknown``
            (this version cannot say).
        file: the file, with forward slashes: relative to the model folder if config.json lists it, else relative to the
            folder that was inspected; empty for the folder as a whole.
        says: what is wrong, in one sentence.
    """

    kind: Kind
    file: str
    says: str

    def to_dict(self) -> dict[str, str]:
        """Return a JSON-ready dictionary."""
        return {"kind": self.kind, "file": self.file, "says": self.says}


@dataclass
class Findings:
    """A list of findings, in the order in which they were made.

    Args:
        folders: the folders whose paths are left out of messages, the innermost first.

    Example:
        >>> findings = Findings()
        >>> findings.add("missing", "config.json", "config.json is missing")
        >>> [finding.kind for finding in findings.all]
        ['missing']
    """

    folders: Sequence[Path] = ()
    all: list[Finding] = field(default_factory=list)

    def add(self, kind: Kind, file: str, says: str) -> None:
        """Add a finding, unless the same one is there."""
        finding = Finding(kind, file, says)
        if finding not in self.all:
            self.all.append(finding)

    def trying(self, kind: Kind, file: str, read: Callable[[], Content]) -> Content | None:
        """Return what ``read`` returns; where it raises a `UserError`, add this as a finding and return None."""
        try:
            return read()
        except UserError as error:
            says = str(error.args[0])
            for folder in self.folders:
                says = says.replace(f"{folder}{os.sep}", "")
            self.add(kind, file, printable(says))
            return None


def named(names: list[str]) -> str:
    """Return the first names of a list, and the number of the others.

    Example:
        >>> named(["a", "b"]), named(list("abcdefg"))
        ('a, b', 'a, b, c, d, e and 2 more')
    """
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
