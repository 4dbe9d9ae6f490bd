"""A config.json that is damaged, edited or forged is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from damages import Damage, assert_found, forged, replace_by_link, set_entry, write_and_hash
from forged_folders import change_json

DAMAGES: dict[str, Damage] = {
    "description missing": (
        lambda run: (run / "model" / "config.json").unlink(),
        "missing",
        "config.json is missing",
    ),
    "description no JSON": (
        lambda run: (run / "model" / "config.json").write_text("{'a': 1"),
        "unreadable",
        "config.json cannot be read: it is not valid JSON",
    ),
    "description a list": (
        lambda run: (run / "model" / "config.json").write_text("[]"),
        "unreadable",
        "config.json holds list",
    ),
    "description deep": (
        lambda run: (run / "model" / "config.json").write_text('{"a":' * 200 + "1" + "}" * 200),
        "unreadable",
        "are nested",
    ),
    "description a link out": (
        lambda run: replace_by_link(run / "model" / "config.json", run / "metrics.json"),
        "foreign",
        "config.json is a link that leads out",
    ),
    "description edited": (
        lambda run: change_json(run / "model" / "config.json", set_entry("facts", "data", "more")),
        "changed",
        "was edited after it was saved",
    ),
    "no checksums": (
        lambda run: change_json(run / "model" / "config.json", set_entry("checksums", [])),
        "missing",
        "lists no checksums",
    ),
    "later format": (lambda run: forged(run, "format", 99), "unknown", "has format 99, this version reads"),
    "no format": (lambda run: forged(run, "format", "1"), "unreadable", "no format version"),
    "unknown method": (lambda run: forged(run, "method", "magic"), "unknown", "'magic' is not known here"),
    "unknown setting": (
        lambda run: forged(run, "config", "colour", 3),
        "unreadable",
        "config has no setting 'colour'",
    ),
    "one class": (
        lambda run: forged(run, "spec", "classes", ["cat"]),
        "unreadable",
        "a classifier needs at least two classes",
    ),
    "three classes": (
        lambda run: forged(run, "spec", "classes", ["cat", "dog", "cow"]),
        "contradiction",
        "the weights are for 2 classes, but config.json names 3",
    ),
    "no normalisation": (lambda run: forged(run, "spec", "image", "std", [0]), "unreadable", "std must be"),
    "facts of another type": (
        lambda run: forged(run, "facts", "accuracy", "all"),
        "unreadable",
        "config.json: facts: accuracy: ",
    ),
    "control characters": (
        lambda run: forged(run, "facts", "notes", ["fine\x1b[2J"]),
        "unreadable",
        "control character '\\x1b'",
    ),
    "names a file outside": (
        lambda run: change_json(
            run / "model" / "config.json", set_entry("checksums", "../metrics.json", "0")
        ),
        "foreign",
        "names a file outside itself",
    ),
    "lists a foreign file": (
        lambda run: write_and_hash(run, "notes.txt", b"hello"),
        "foreign",
        "config.json lists notes.txt, which no model folder has",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_is_found(name: str, run: Path) -> None:
    assert_found(run, DAMAGES[name])
