"""Find files that do not belong into a model or run folder, by their place, their name and their first bytes."""

from __future__ import annotations

import os
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from resemblance.printing.characters import printable
from resemblance.runs.folders import AUDIT, CHECKPOINTS, CONFIG, EVALUATION, METRICS, MODEL
from resemblance.runs.inspection.findings import Findings
from resemblance.runs.inspection.model_files import leads_out
from resemblance.store import ALLOWED, PICKLES, loose_files
from resemblance.store import CONFIG as DESCRIPTION

# Files that run when somebody opens or imports them.
CODE = (".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".exe", ".sh", ".bat", ".cmd", ".ps1", ".js", ".jar")
WRITTEN = (".png", ".pdf", ".svg", ".jpg", ".html", ".json", ".csv")  # by commands into a run folder
FOLDERS = ("logs", "snapshots", "explanations", EVALUATION, AUDIT)
STATES = (".ckpt", ".previous")
PICKLE_STARTS = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
LARGEST_COUNT = 20_000  # files that are looked at


@dataclass(frozen=True)
class _Entry:
    """A file, and the start of its content."""

    name: str
    path: Path
    out: bool

    @property
    def danger(self) -> str:
        """Why it could run code; empty if nothing says so."""
        if self.path.suffix.lower() in PICKLES:
            return "a pickle by its name, which can run code when it is opened"
        if self.path.suffix.lower() in CODE:
            return "code"
        try:
            with self.path.open("rb") as file:
                start = file.read(4)
        except OSError:
            return ""
        if start.startswith(PICKLE_STARTS):
            return "a pickle by its content, which can run code when it is opened"
        return "a program" if start.startswith((b"#!", b"\x7fELF", b"MZ")) else ""


def check_model_folder(
    folder: Path, listed: Container[str] | None, findings: Findings, within: str = ""
) -> list[str]:
    """Find the files of a model folder that its config.json does not list.

    Args:
        folder: the model folder.
        listed: the files that it lists; None if that is not known, so that only those are found that could run code.
        findings: receives those that do not belong there.
        within: what their names begin with: ``model/`` in a run folder.

    Returns:
        All files that are not listed, also those that may be there: README.md, a licence, hidden files; none if it is
        not known what is listed.
    """
    other = []
    loose = set() if listed is None else set(loose_files(folder, listed))
    for entry in _entries(folder, findings):
        if entry.name == DESCRIPTION or (listed is not None and entry.name in listed):
            continue
        name = within + entry.name
        if listed is not None:
            other.append(name)
        if not _add_danger(entry, name, findings) and entry.name in loose:
            says = f"{printable(name)} does not belong to the model, and is not read"
            findings.add("foreign", name, says)
    return other


def check_run_folder_files(folder: Path, findings: Findings) -> list[str]:
    """Find the files of a run folder, beside its model, that could run code or lie elsewhere.

    Returns:
        The files that no command of this library writes into a run folder; they do no harm by being there.
    """
    other = []
    for entry in _entries(folder, findings, skip=MODEL):
        top = entry.name.partition("/")[0]
        if top == CHECKPOINTS and entry.path.suffix in STATES and not entry.out:
            continue  # training states, which are loaded with weights_only
        if _add_danger(entry, entry.name, findings):
            continue
        known = top in FOLDERS or entry.name in (CONFIG, METRICS, *ALLOWED)
        if not known and entry.path.suffix.lower() not in WRITTEN:
            other.append(entry.name)
    return other


def _add_danger(entry: _Entry, name: str, findings: Findings) -> bool:
    shown = printable(name)
    if entry.out:
        findings.add("foreign", name, f"{shown} is a link that leads out of the folder, and is not read")
    elif entry.path.is_dir():
        findings.add("foreign", name, f"{shown} is a link to a folder, and is not followed")
    elif not entry.path.is_file():
        findings.add("foreign", name, f"{shown} is neither a file nor a folder")
    elif danger := entry.danger:
        findings.add("foreign", name, f"{shown} is {danger}; it does not belong there, and is not opened")
    else:
        return False
    return True


def _entries(folder: Path, findings: Findings, skip: str | None = None) -> list[_Entry]:
    """Return all files below a folder, with links to folders as files."""
    entries: list[_Entry] = []
    for place, folders, files in os.walk(folder):
        here = Path(place)
        if skip is not None and here == folder:
            folders[:] = [name for name in folders if name != skip]
        folders.sort()
        links = [name for name in folders if (here / name).is_symlink()]
        for name in sorted([*files, *links]):
            path = here / name
            entries.append(_Entry(path.relative_to(folder).as_posix(), path, leads_out(folder, path)))
        if len(entries) > LARGEST_COUNT:
            says = f"the folder has more than {LARGEST_COUNT} files; the others are not looked at"
            findings.add("foreign", "", says)
            break
    return entries[:LARGEST_COUNT]
