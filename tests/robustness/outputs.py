"""What must be true of the files of a run, whenever its process was killed."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from resemblance.store import load_folder
from resemblance.training.checksums import Checksum, compare_checksum
from resemblance.training.engine.checkpoints import check_checkpoint


def incomplete(folder: Path) -> list[str]:
    """Return what is wrong with the files in a folder; temporary files, whose names begin with a dot, are ignored."""
    problems = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        parts = path.relative_to(folder).parts
        if "tensorboard" in parts or any(part.startswith(".") for part in parts):
            continue
        try:
            _check(path)
        except Exception as error:
            problems.append(f"{path.name} is not complete: {type(error).__name__}: {error}")
    for path in folder.rglob("config.json"):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            try:
                load_folder(path.parent)
            except Exception as error:
                problems.append(f"{path.parent.name} cannot be loaded: {error}")
    return problems


def _check(path: Path) -> None:
    data = path.read_bytes()
    if path.suffix == ".json":
        json.loads(data)
    elif path.suffix == ".yaml":
        assert isinstance(yaml.safe_load(data), dict), "no options"
    elif path.suffix == ".html":
        assert data.rstrip().endswith(b"</html>"), "cut"
    elif path.suffix in (".png", ".jpg"):
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    elif path.suffix == ".npz":
        with path.open("rb") as file:
            assert compare_checksum(file) is Checksum.MATCHES, "checksum"
            dict(np.load(file))
    elif path.suffix in (".ckpt", ".previous"):
        check_checkpoint(path)


def leftovers(folder: Path) -> list[str]:
    """Return the names of the temporary files and locks in a folder."""
    return [f"{path.name} was left" for path in folder.rglob(".*")]


def digest(folder: Path) -> dict[str, Any]:
    """Return the content of all files by name, without durations, dates and curves."""
    contents: dict[str, Any] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if "tensorboard" in name or path.suffix in (".ckpt", ".previous", ".html"):
            contents[name.partition("tensorboard")[0]] = "there"  # also holds durations, or the date
        elif path.name == "metrics.csv":
            with path.open(newline="") as file:
                contents[name] = [
                    {key: value for key, value in row.items() if key != "seconds"}
                    for row in csv.DictReader(file)
                ]
        elif path.name == "metrics.json":
            contents[name] = {
                key: value for key, value in json.loads(path.read_text()).items() if key != "seconds"
            }
        else:
            contents[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return contents


def differences(expected: dict[str, Any], contents: dict[str, Any]) -> list[str]:
    """Return the names of files that are missing, that there should not be, or that differ."""
    names = sorted(expected.keys() | contents.keys())
    return [f"{name} differs" for name in names if expected.get(name) != contents.get(name)]
