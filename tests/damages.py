"""Ways to damage or forge a run folder, and the check that an inspection finds what they did."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import resemblance
from forged_folders import change_json, forge, hash_again

WEIGHTS = "model.safetensors"
# What is done to the run folder, and the kind and some words of what is then found.
Damage = tuple[Callable[[Path], Any], str, str]


class Trap:
    """Raises if it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os._exit, (99,))


PICKLE = pickle.dumps(Trap())


def picture(run: Path) -> Path:
    return run / "model" / "prototypes" / "images" / "0.png"


def cut(path: Path, count: int) -> None:
    path.write_bytes(path.read_bytes()[:count])


def add_bytes(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


def replace_by_link(path: Path, target: Path | str) -> None:
    path.unlink()
    path.symlink_to(target)


def foreign(run: Path, name: str, data: bytes) -> None:
    (run / name).parent.mkdir(parents=True, exist_ok=True)
    (run / name).write_bytes(data)


def write_and_hash(run: Path, name: str, data: bytes) -> None:
    (run / "model" / name).write_bytes(data)
    hash_again(run / "model")


def set_entry(*keys: Any) -> Callable[[Any], None]:
    """Return a change that sets the entry at all but the last of the keys to the last."""

    def change(document: Any) -> None:
        for key in keys[:-2]:
            document = document[key]
        document[keys[-2]] = keys[-1]

    return change


def edit(run: Path, *keys: Any) -> None:
    change_json(run / "metrics.json", set_entry(*keys))


def forged(run: Path, *keys: Any, name: str = "config.json") -> None:
    forge(run / "model", set_entry(*keys), name)


def assert_found(run: Path, damage: Damage) -> None:
    """Damage a run folder; check that it is found, told in one line without paths, and written as JSON."""
    change, kind, words = damage
    change(run)
    inspection = resemblance.inspect(run)
    found = [(finding.kind, finding.says) for finding in inspection.findings]
    assert any(one == kind and words in says for one, says in found), found
    assert not any("\n" in says or str(run.parent) in says for _, says in found)
    json.dumps(inspection.to_dict(), allow_nan=False)
