"""Model folders: a configuration, tensors and files, with checksums, for any method.

    config.json          format version, the caller's description, checksums
    model.safetensors    tensors, no code
    reference.json       similarities of validation images, with which those of other images are compared
    prototypes/          pictures and names

Nothing in a folder is ever executed or unpickled. torch is imported only to read and write the tensors.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from resemblance.config.errors import UserError
from resemblance.config.files.json_file import read_json, refuse_controls
from resemblance.config.files.named_files import HUB, HUB_ID, hub_hint
from resemblance.printing.characters import printable, without_controls
from resemblance.printing.lines import FolderWarning
from resemblance.writing import leftovers, replacing, replacing_folder

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
CONFIG = "config.json"
TENSORS = "model.safetensors"
REFERENCE = "reference.json"
README = "README.md"
# What a folder may have beside its model, without listing it.
ALLOWED = (
    README,
    *(
        f"{name}{ending}"
        for name in ("LICENSE", "LICENCE", "COPYING", "NOTICE")
        for ending in ("", ".txt", ".md")
    ),
)
NAMED = 5  # the largest number of files that a warning names
PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib")


@dataclass
class StoredModel:
    """The contents of a model folder."""

    config: dict[str, Any]
    tensors: dict[str, Tensor]
    files: dict[str, bytes]


def save_folder(
    path: Path | str, config: dict[str, Any], tensors: dict[str, Tensor], files: dict[str, bytes]
) -> None:
    """Write a model folder; an existing one is replaced only when the new one is complete.

    Args:
        path: the folder.
        config: JSON-ready description.
        tensors: name → tensor; copied to the CPU.
        files: relative POSIX path → contents.

    Raises:
        UserError: if the folder cannot be written, or it exists and is not a model folder.
    """
    from safetensors.torch import save as dump_tensors

    path = Path(path)
    if path.is_dir() and any(path.iterdir()) and not (path / CONFIG).is_file():
        raise UserError(f"{path} exists and is not a model folder; choose another --output")
    contents = {
        TENSORS: dump_tensors({name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()})
    }
    contents.update(files)
    config = without_controls(config)  # with them, the folder could not be loaded
    checksums = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(contents.items())}
    document = {"format": FORMAT, **config, "checksums": {CONFIG: description_checksum(config), **checksums}}
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    contents[CONFIG] = text.encode(
        "utf-8", "backslashreplace"
    )  # of paths that are not UTF-8, in JSON's own escapes
    with replacing_folder(path) as folder:
        for name, data in contents.items():
            with replacing(folder / path_inside(name)) as file:
                file.write_bytes(data)


def load_folder(path: Path | str) -> StoredModel:
    """Read a model folder, or download one from the Hugging Face Hub.

    Args:
        path: a folder, or ``hf:OWNER/NAME`` for a model on the hub; the network is used for this form alone.

    Returns:
        The description without the checksums, the tensors and the files, each checked.

    Raises:
        UserError: with the reason, if anything is missing, changed, of another program or from a later version, or
            if a text of the description has control characters.

    Warns:
        FolderWarning: if the folder has files that it does not list.
    """
    from safetensors.torch import load as load_tensors

    folder = _locate(path)
    config = _read_config(folder)
    checksums = config.pop("checksums", None)
    if not isinstance(checksums, dict) or TENSORS not in checksums:
        raise UserError(f"{folder / CONFIG} lists no checksums; the folder is incomplete or was edited")
    contents = {}
    if checksums.pop(CONFIG, None) != description_checksum(config):
        raise UserError(f"{folder / CONFIG} was edited after it was saved; copy the folder again")
    refuse_controls(config, str(folder / CONFIG))
    for name, expected in checksums.items():
        target = folder / path_inside(name)
        try:
            if target.is_symlink() and not target.is_file():
                raise UserError(f"{target} is a broken link")
            if not target.is_file():
                raise FileNotFoundError(target)  # also folders, pipes and devices
            contents[name] = target.read_bytes()
        except (OSError, ValueError):
            raise UserError(f"{target} is missing or unreadable; copy the model folder again") from None
        if hashlib.sha256(contents[name]).hexdigest() != expected:
            raise UserError(
                f"{target} does not match its checksum: it was changed or cut off; copy the folder again"
            )
    try:
        tensors = load_tensors(contents.pop(TENSORS))
    except Exception as error:  # of safetensors, and of torch for shapes that do not fit
        raise UserError(f"{folder / TENSORS} is not a safetensors file: {str(error)[:200]}") from None
    if loose := loose_files(folder, checksums):
        more = f" and {len(loose) - NAMED} more" if len(loose) > NAMED else ""
        names = ", ".join(map(printable, loose[:NAMED]))
        warnings.warn(
            f"{printable(folder)} has files that do not belong to the model and are not read: {names}{more}",
            FolderWarning,
            stacklevel=2,
        )
    return StoredModel(config, tensors, contents)


def loose_files(folder: Path, listed: Container[str]) -> list[str]:
    """Return the files that a model folder does not list; README.md, a licence and hidden files may be there."""
    loose = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = [
            (Path(place) / name).relative_to(folder) for name in sorted(files) if not name.startswith(".")
        ]
        loose += [path.as_posix() for path in paths]
    return [name for name in loose if name not in listed and name not in (CONFIG, *ALLOWED)]


def description_checksum(document: dict[str, Any]) -> str:
    """Return the checksum of a description, independent of the order and the spacing of its text."""
    # Through JSON and back, so that values that are equal in the file, like a tuple and a list, are equal here.
    text = json.dumps(json.loads(json.dumps(document)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _locate(path: Path | str) -> Path:
    folder = Path(path)
    if folder.is_file():
        kind = "a pickle, which can run code when opened" if folder.suffix in PICKLES else "a file"
        raise UserError(f"{folder} is {kind}; a model is a folder with {CONFIG} and {TENSORS}")
    if folder.is_dir():
        return folder
    if not str(path).startswith(HUB):
        kept = [left for left in leftovers(folder) if left.suffix == ".old"]
        cure = (
            f"; a process that was replacing it was killed: rename {kept[-1].name} to {folder.name}"
            if kept
            else ""
        )
        raise UserError(f"no such model folder: {path}{cure or hub_hint(path)}")
    name = str(path).removeprefix(HUB)
    if not HUB_ID.fullmatch(name):
        raise UserError(f"{path} does not name a model on the Hugging Face Hub; write {HUB}OWNER/NAME")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=[CONFIG, TENSORS, REFERENCE, "prototypes/*"]))
    except Exception as error:  # the hub raises a dozen kinds, all of which mean that it is not available
        raise UserError(
            f"the Hugging Face Hub has no model {name}, or cannot be reached ({type(error).__name__})"
        ) from None


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if not path.is_file():
        pickles = sorted(entry.name for entry in folder.iterdir() if entry.suffix in PICKLES)
        hint = (
            f"; it contains {pickles[0]}, which is not opened because pickles can run code" if pickles else ""
        )
        raise UserError(f"{folder} is not a model folder: it has no {CONFIG}{hint}")
    config = read_json(path)
    if type(config.get("format")) is not int:
        raise UserError(f"{path} was not written by resemblance: it has no format version")
    version = config.pop("format")
    if version > FORMAT:
        raise UserError(
            f"{folder} has format {version}, this version reads up to {FORMAT}; upgrade resemblance"
        )
    return config


def path_inside(name: str) -> PurePosixPath:
    """Return the name as a relative path, which must stay inside the folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts or ":" in name:
        raise UserError(f"the model folder names a file outside itself: {name!r}")
    return path
