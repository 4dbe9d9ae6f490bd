"""Pictures, index and weights that do not belong together are found."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

import resemblance
from damages import (
    PICKLE,
    WEIGHTS,
    Damage,
    add_bytes,
    assert_found,
    cut,
    forged,
    picture,
    replace_by_link,
    write_and_hash,
)
from forged_folders import INDEX, forge, hash_again
from resemblance.runs.inspection import model_files


def swap_pictures(run: Path) -> None:
    first, second = picture(run), picture(run).with_name("1.png")
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)


def claim_a_source_twice(run: Path) -> None:
    tensors = load_file(run / "model" / WEIGHTS)
    tensors["prototypes.source_index"][:] = 0
    save_file(tensors, run / "model" / WEIGHTS)
    hash_again(run / "model")


def huge(path: Path) -> None:
    os.truncate(path, model_files.LARGEST_FILE + 1)  # sparse: no disk is used


PNG = b"\x89PNG\r\n\x1a\n nothing else"
DAMAGES: dict[str, Damage] = {
    "another size": (
        lambda run: forged(run, "spec", "image", "height", 32),
        "contradiction",
        "has 28×28 pixels, but the model reads 32×28",
    ),
    "picture missing": (lambda run: picture(run).unlink(), "missing", "images/0.png is missing"),
    "picture changed": (lambda run: add_bytes(picture(run)), "changed", "images/0.png does not match"),
    "pictures swapped": (swap_pictures, "changed", "images/1.png does not match its checksum"),
    "picture damaged": (
        lambda run: write_and_hash(run, "prototypes/images/0.png", PNG),
        "unreadable",
        "a prototype's picture cannot be decoded",
    ),
    "picture a pickle": (
        lambda run: write_and_hash(run, "prototypes/images/0.png", PICKLE),
        "unreadable",
        "a prototype's picture cannot be decoded",
    ),
    "picture of nothing": (
        lambda run: write_and_hash(run, "prototypes/images/77.png", picture(run).read_bytes()),
        "foreign",
        "77.png is the picture of no prototype",
    ),
    "picture huge": (lambda run: huge(picture(run)), "foreign", "more than 200,000,000, and is not read"),
    "picture a link out": (
        lambda run: replace_by_link(picture(run), "/etc/hostname"),
        "foreign",
        "images/0.png is a link that leads out of the folder",
    ),
    "picture a broken link": (
        lambda run: replace_by_link(picture(run), "nothing"),
        "missing",
        "images/0.png is a broken link",
    ),
    "picture a folder": (
        lambda run: (picture(run).unlink(), picture(run).mkdir()),
        "foreign",
        "is a folder, a pipe or a device",
    ),
    "picture a pipe": (
        lambda run: (picture(run).unlink(), os.mkfifo(picture(run))),
        "foreign",
        "is a folder, a pipe or a device",
    ),
    "index missing": (
        lambda run: ((run / "model" / INDEX).unlink(), hash_again(run / "model")),
        "missing",
        "the weights have 4 prototypes, but the folder has no pictures of them",
    ),
    "index no JSON": (
        lambda run: write_and_hash(run, INDEX, b"\xff\xfe"),
        "unreadable",
        "index.json cannot be read",
    ),
    "index without list": (
        lambda run: forged(run, "prototypes", 7, name=INDEX),
        "unreadable",
        "has no list of prototypes",
    ),
    "index shorter": (
        lambda run: forge(run / "model", lambda document: document["prototypes"].pop(), INDEX),
        "contradiction",
        "the weights have 4 prototypes, but prototypes/index.json describes 3",
    ),
    "index of another kind": (
        lambda run: forged(run, "prototypes", 2, "kind", "miracle", name=INDEX),
        "unreadable",
        "prototype 2: an entry has the unknown kind",
    ),
    "box moved": (
        lambda run: forged(run, "prototypes", 1, "box", [0, 0, 2, 3], name=INDEX),
        "contradiction",
        "prototype 1: the box in the index is not that in the weights",
    ),
    "picture removed from index": (
        lambda run: forged(run, "prototypes", 3, "source", None, name=INDEX),
        "contradiction",
        "prototype 3: the weights name a source image, but the index has no picture of it",
    ),
    "one source, several pictures": (
        claim_a_source_twice,
        "contradiction",
        "the same source image by the weights, but another name or picture",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_is_found(name: str, run: Path) -> None:
    assert_found(run, DAMAGES[name])


@pytest.mark.parametrize(
    "damage",
    [
        *(DAMAGES[name][0] for name in ("picture changed", "picture missing", "picture a link out")),
        lambda run: cut(run / "model" / WEIGHTS, 5000),
        lambda run: (run / "model" / WEIGHTS).unlink(),
    ],
)
def test_pictures_and_weights_are_tied_by_their_checksums(damage: Callable[[Path], Any], run: Path) -> None:
    assert resemblance.inspect(run).provenance.tied
    damage(run)
    assert not resemblance.inspect(run).provenance.tied


def test_sources_in_the_folders_of_other_classes_are_counted(run: Path) -> None:
    def rename(document: Any) -> None:
        for entry, name in zip(
            document["prototypes"], ("a/dog/1.png", "cat/2.png", "cat/3.png", "cat/dog/4.png"), strict=True
        ):
            entry["name"] = name

    forge(run / "model", rename, INDEX)
    provenance = resemblance.inspect(run).provenance
    assert provenance is not None
    assert provenance.other_class == 2  # of cat the first, of dog the third; the fourth is in folders of both
