"""Files that do not belong into a folder are found; those that may be there do no harm."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

import resemblance
from damages import PICKLE, Damage, assert_found, foreign, set_entry
from forged_folders import forge, hash_again

DAMAGES: dict[str, Damage] = {
    "loose file": (
        lambda run: foreign(run, "model/notes.txt", b"hello"),
        "foreign",
        "notes.txt does not belong to the model",
    ),
    "loose pickle": (
        lambda run: foreign(run, "model/a.pkl", PICKLE),
        "foreign",
        "a.pkl is a pickle by its name",
    ),
    "hidden pickle": (
        lambda run: foreign(run, "model/.cache/x.bin", PICKLE),
        "foreign",
        ".cache/x.bin is a pickle by its name",
    ),
    "pickle in disguise": (
        lambda run: foreign(run, "explanations/why.png", PICKLE),
        "foreign",
        "why.png is a pickle by its content",
    ),
    "pickle beside states": (
        lambda run: foreign(run, "checkpoints/model.pkl", PICKLE),
        "foreign",
        "checkpoints/model.pkl is a pickle by its name",
    ),
    "pickle beside no description": (
        lambda run: (foreign(run, "model/a.bin", PICKLE), (run / "model" / "config.json").write_text("{")),
        "foreign",
        "model/a.bin is a pickle by its name",
    ),
    "code": (lambda run: foreign(run, "model/model.py", b"import os"), "foreign", "model.py is code"),
    "script": (lambda run: foreign(run, "start", b"#!/bin/sh"), "foreign", "start is a program"),
    "link out": (
        lambda run: (run / "data").symlink_to("/etc"),
        "foreign",
        "data is a link that leads out of the folder",
    ),
    "model a link out": (
        lambda run: (
            shutil.move(run / "model", run.with_name("other")),
            (run / "model").symlink_to(run.with_name("other")),
        ),
        "foreign",
        "model is a link that leads out of the run folder",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_is_found(name: str, run: Path) -> None:
    assert_found(run, DAMAGES[name])


@pytest.mark.parametrize("content", ["{", json.dumps({"format": 1, "method": "protopnet"})])
def test_without_a_list_of_files_only_what_could_run_code_is_foreign(content: str, run: Path) -> None:
    (run / "model" / "config.json").write_text(content)
    kinds = {finding.kind for finding in resemblance.inspect(run).findings if finding.file != "config.json"}
    assert kinds == set()  # nor are pictures missing, which are there


def test_files_that_may_be_there(run: Path) -> None:
    (run / "model" / "LICENSE").write_text("\nMIT License\n\nCopyright")
    (run / "model" / "README.md").write_text(
        "---\ntags: [x]\nlicense: apache-2.0\n---\n# A model\nlicense: none"
    )
    (run / "model" / ".gitattributes").write_text("*.png binary")
    (run / "prototypes.pdf").write_bytes(b"%PDF")
    for written in ("audit/audit.xml", "explanations/explanations.jsonl"):
        (run / written).parent.mkdir(exist_ok=True)
        (run / written).write_text("written by a command")
    (run / "notes").mkdir()
    (run / "notes" / "mine.txt").write_text("notes")
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "run.ckpt").write_bytes(PICKLE)
    forge(run / "model", set_entry("licence", "see LICENSE"))
    hash_again(run / "model")
    document = json.loads((run / "model" / "config.json").read_text())
    for name in ("LICENSE", "README.md", ".gitattributes"):
        del document["checksums"][name]
    (run / "model" / "config.json").write_text(json.dumps(document))
    inspection = resemblance.inspect(run)
    assert inspection.findings == ()
    assert [(one["file"], one["says"]) for one in inspection.licences] == [
        ("README.md", "apache-2.0"),
        ("LICENSE", "MIT License"),
        ("config.json", "see LICENSE"),
    ]
    assert set(inspection.other_files) == {
        "model/LICENSE",
        "model/README.md",
        "model/.gitattributes",
        "notes/mine.txt",
    }
    resemblance.load(run)  # without a warning, which would be an error


def test_a_snapshot_in_the_cache_of_the_hub_is_no_link_out(run: Path, tmp_path: Path) -> None:
    """The cache keeps each file under its checksum in ``blobs``, with links from ``snapshots/REVISION``."""
    blobs, snapshot = tmp_path / "cache" / "blobs", tmp_path / "cache" / "snapshots" / "1234"
    blobs.mkdir(parents=True)
    for number, path in enumerate(sorted((run / "model").rglob("*.*"))):
        shutil.copy(path, blobs / str(number))
        link = snapshot / path.relative_to(run / "model")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blobs / str(number), link.parent))
    assert resemblance.inspect(snapshot).findings == ()
