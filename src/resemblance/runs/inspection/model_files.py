"""Compare the files of a model folder with their checksums, without following links out of the folder."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from resemblance.config.errors import UserError
from resemblance.printing.characters import printable
from resemblance.prototypes.gallery import FOLDER
from resemblance.runs.inspection.findings import Findings, Kind
from resemblance.store import CONFIG, REFERENCE, TENSORS, description_checksum, path_inside

State = Literal["matches", "differs", "missing", "not read", "not listed"]
LARGEST_TENSORS = 100_000_000_000  # bytes
LARGEST_FILE = 200_000_000  # bytes, of the index and of a picture
CHUNK = 1 << 20


@dataclass(frozen=True)
class FileState:
    """A file of a model folder.

    Args:
        name: relative to the model folder, with forward slashes.
        bytes: its size; None where there is no file that is read.
        state: whether it matches its checksum.
        sha256: the checksum of its content; of config.json, that of the description in it.
    """

    name: str
    bytes: int | None
    state: State
    sha256: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {"name": self.name, "bytes": self.bytes, "state": self.state, "sha256": self.sha256}


def check_files(
    folder: Path, checksums: Any, description: dict[str, Any], findings: Findings
) -> list[FileState]:
    """Compare a model folder's files with the checksums in its config.json.

    Args:
        folder: the model folder.
        checksums: the entry of config.json.
        description: the other entries, without the format.
        findings: receives what is wrong.

    Returns:
        The files that config.json lists, config.json first.
    """
    own = description_checksum(description)
    size = (folder / CONFIG).stat().st_size
    if not isinstance(checksums, dict) or not all(isinstance(value, str) for value in checksums.values()):
        findings.add("missing", CONFIG, f"{CONFIG} lists no checksums: nothing can be compared with them")
        return [FileState(CONFIG, size, "not listed", own)]
    whole = checksums.get(CONFIG) == own
    if not whole:
        findings.add(
            "changed", CONFIG, f"{CONFIG} was edited after it was saved: it does not match its checksum"
        )
    states = [FileState(CONFIG, size, "matches" if whole else "differs", own)]
    for name, expected in checksums.items():
        if name == CONFIG:
            continue
        if name not in (TENSORS, REFERENCE) and not name.startswith(f"{FOLDER}/"):
            findings.add("foreign", name, f"{CONFIG} lists {printable(name)}, which no model folder has")
        states.append(_check(folder, name, expected, findings))
    if TENSORS not in checksums:
        findings.add("missing", TENSORS, f"{CONFIG} lists no {TENSORS}, the weights of the model")
    return states


def find_file(folder: Path, name: str, findings: Findings) -> Path | None:
    """Return the path of a file that may be read; None, with a finding, if there is none.

    Links that stay in the folder, or lead to the files of the same model in a cache of the Hugging Face Hub, are
    followed.
    """
    shown, problem = printable(name), None
    kind: Kind = "foreign"
    try:
        path = folder / path_inside(name)
        mode = path.stat().st_mode if path.exists() else None
    except (UserError, OSError, ValueError) as error:
        findings.add("foreign", name, f"{shown} is not read: {printable(error)}")
        return None
    if leads_out(folder, path):
        problem = f"{shown} is a link that leads out of the folder, and is not read"
    elif mode is None:
        kind, problem = "missing", f"{shown} is {'a broken link' if path.is_symlink() else 'missing'}"
    elif not stat.S_ISREG(mode):
        problem = f"{shown} is a folder, a pipe or a device, where a file was expected"
    elif (size := path.stat().st_size) > (largest := LARGEST_TENSORS if name == TENSORS else LARGEST_FILE):
        problem = f"{shown} has {size:,} bytes, more than {largest:,}, and is not read"
    elif not os.access(path, os.R_OK):
        kind, problem = "unreadable", f"{shown} may not be read by this user"
    if problem:
        findings.add(kind, name, problem)
        return None
    return path


def leads_out(folder: Path, path: Path) -> bool:
    """Check whether a path leads out of a folder by a link."""
    root, target = Path(os.path.realpath(folder)), Path(os.path.realpath(path))
    in_cache = root.parent.name == "snapshots" and target.parent == root.parent.parent / "blobs"
    return not target.is_relative_to(root) and not in_cache


def _check(folder: Path, name: str, expected: str, findings: Findings) -> FileState:
    known = len(findings.all)
    path = find_file(folder, name, findings)
    if path is None:
        missing = any(finding.kind == "missing" for finding in findings.all[known:])
        return FileState(name, None, "missing" if missing else "not read")
    try:
        size, digest = path.stat().st_size, _sha256(path)
    except OSError as error:
        findings.add("unreadable", name, f"{printable(name)} cannot be read: {error.strerror or error}")
        return FileState(name, None, "not read")
    if digest != expected:
        findings.add(
            "changed", name, f"{printable(name)} does not match its checksum: it was changed, or cut off"
        )
    return FileState(name, size, "matches" if digest == expected else "differs", digest)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
