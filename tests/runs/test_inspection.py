"""Folders are described without running anything, and each way to damage or forge one is found."""

from __future__ import annotations

import copy
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import resemblance
from cases import METHODS
from forged_folders import CLASSES, INDEX, change_json, forge, hash_again, make_run
from resemblance.runs.finish import finish
from resemblance.runs.inspection import model_files
from resemblance.runs.inspection.tensor_file import read_tensor_file
from tiny import digits

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def test_a_whole_run(whole: Path) -> None:
    inspection = resemblance.inspect(whole)
    assert inspection.findings == ()
    assert inspection.consistent
    told = json.loads(json.dumps(inspection.to_dict(), allow_nan=False))
    metrics = json.loads((whole / "metrics.json").read_text())
    assert (told["kind"], told["method"], told["classes"]) == ("run folder", "protopnet", list(CLASSES))
    assert (told["image"]["height"], told["image"]["mean"], told["image"]["std"]) == (28, [0.5], [0.25])
    assert told["notes"] == ["made for a test"]
    assert told["licence"] == told["other_files"] == []
    model = resemblance.load(whole)
    assert told["tensors"]["count"] == len(model.state_dict())
    assert told["tensors"]["values"] == sum(tensor.numel() for tensor in model.state_dict().values())
    assert told["provenance"] == {
        "prototypes": 4,
        "source_image": 4,
        "named": 4,
        "boxes": sum(item.box is not None for item in model.gallery),
        "pictures": 4,
        "decoded": 0,
        "other_class": None,
        "unused": len(model.prototypes.unused()),
        "picture_files": len({item.source for item in model.gallery}),
        "matching_files": len({item.source for item in model.gallery}),
        "tied": True,
    }
    claims = {
        (one["figure"], one["split"], one["file"]): (one["value"], one["images"]) for one in told["claims"]
    }
    assert claims["accuracy", "test", "metrics.json"] == (metrics["test"]["accuracy"], 8)
    assert claims["accuracy", "val", "config.json"] == (metrics["val"]["accuracy"], 8)
    assert claims["prototypes", "", "config.json"] == (4, None)
    files = {file["name"]: file for file in told["files"]}
    assert set(files) == {
        path.relative_to(whole / "model").as_posix() for path in (whole / "model").rglob("*.*")
    }
    assert {file["state"] for file in files.values()} == {"matches"}
    listed = json.loads((whole / "model" / "config.json").read_text())["checksums"]
    assert {name: file["sha256"] for name, file in files.items()} == listed


def test_a_model_folder_alone(run: Path) -> None:
    alone = run.with_name("alone")
    shutil.move(run / "model", alone)
    inspection = resemblance.inspect(alone)
    assert (inspection.is_run, inspection.findings) == (False, ())
    assert {claim.file for claim in inspection.claims} == {"config.json"}


def test_the_model_folder_of_a_run_is_inspected_with_its_run(whole: Path) -> None:
    assert resemblance.inspect(whole / "model") == resemblance.inspect(whole)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_wrong_with_a_run_of_any_method(
    method: str, trained: Callable[[str], Any], tmp_path: Path
) -> None:
    finish(copy.deepcopy(trained(method).model), digits(96, 40), tmp_path / "run", accelerator="cpu")
    inspection = resemblance.inspect(tmp_path / "run")
    assert inspection.findings == ()
    assert inspection.description is not None
    assert inspection.description.method == method
    model = resemblance.load(tmp_path / "run")
    count = len(model.prototypes) if hasattr(model, "prototypes") else None
    assert (inspection.provenance.prototypes if inspection.provenance else None) == count


def test_it_needs_no_torch_and_runs_nothing(run: Path) -> None:
    (run / "model" / "resemblance_plugin.py").write_text("raise SystemExit('imported')")
    script = (
        "import sys, resemblance; found = resemblance.inspect(sys.argv[1]).findings; "
        "print(len(found), [name for name in ('torch', 'timm', 'lightning') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(run)], capture_output=True, text=True, cwd=run / "model"
    )
    assert (done.stdout, done.stderr) == ("1 []\n", "")


class Trap:
    """Raises if it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os._exit, (99,))


def picture(run: Path) -> Path:
    return run / "model" / "prototypes" / "images" / "0.png"


def cut(path: Path, count: int) -> None:
    path.write_bytes(path.read_bytes()[:count])


def replace_by_link(path: Path, target: Path | str) -> None:
    path.unlink()
    path.symlink_to(target)


def swap_pictures(run: Path) -> None:
    first, second = picture(run), picture(run).with_name("1.png")
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)


def spoil_tensor(run: Path) -> None:
    tensors = load_file(run / "model" / WEIGHTS)
    tensors["prototypes.vectors"][0, :2] = torch.tensor(float("nan"))
    save_file(tensors, run / "model" / WEIGHTS)
    hash_again(run / "model")


def claim_a_source_twice(run: Path) -> None:
    tensors = load_file(run / "model" / WEIGHTS)
    tensors["prototypes.source_index"][:] = 0
    save_file(tensors, run / "model" / WEIGHTS)
    hash_again(run / "model")


def add_bytes(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


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


def huge(path: Path) -> None:
    os.truncate(path, model_files.LARGEST_FILE + 1)  # sparse: no disk is used


def foreign(run: Path, name: str, data: bytes) -> None:
    (run / name).parent.mkdir(parents=True, exist_ok=True)
    (run / name).write_bytes(data)


PNG = b"\x89PNG\r\n\x1a\n nothing else"
PICKLE = pickle.dumps(Trap())
DAMAGES: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "weights missing": (lambda run: (run / "model" / WEIGHTS).unlink(), "missing", "safetensors is missing"),
    "weights cut off": (lambda run: cut(run / "model" / WEIGHTS, 5000), "unreadable", "is cut off: "),
    "weights empty": (lambda run: cut(run / "model" / WEIGHTS, 0), "unreadable", "it has no header"),
    "weights changed": (lambda run: cut(run / "model" / WEIGHTS, 5000), "changed", "not match its checksum"),
    "weights longer": (
        lambda run: add_bytes(run / "model" / WEIGHTS),
        "unreadable",
        "4 bytes after the last",
    ),
    "weights are a pickle": (
        lambda run: write_and_hash(run, WEIGHTS, PICKLE * 50),
        "unreadable",
        "is not a safetensors file",
    ),
    "weights NaN": (spoil_tensor, "unreadable", "2 values are infinite or NaN, in prototypes.vectors"),
    "weights a link out": (
        lambda run: replace_by_link(run / "model" / WEIGHTS, "/dev/zero"),
        "foreign",
        "leads out of the folder, and is not read",
    ),
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
    "another size": (
        lambda run: forged(run, "spec", "image", "height", 32),
        "contradiction",
        "has 28×28 pixels, but the model reads 32×28",
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
    "better accuracy claimed": (
        lambda run: forged(run, "facts", "accuracy", "test", 0.99),
        "contradiction",
        "claim different figures, accuracy on test: 99.00 % and ",
    ),
    "impossible accuracy": (
        lambda run: forged(run, "facts", "accuracy", "test", 1.2),
        "contradiction",
        "claims 1.2 for accuracy on test, which is not a share",
    ),
    "more prototypes claimed": (
        lambda run: forged(run, "facts", "prototypes", 9),
        "contradiction",
        "config.json claims 9 prototypes, but the weights have 4",
    ),
    "measurements edited": (
        lambda run: edit(run, "test", "accuracy", 0.9),
        "contradiction",
        "by the confusion matrix, ",
    ),
    "confusion edited": (
        lambda run: edit(run, "test", "confusion", [[5, 0], [0, 5]]),
        "contradiction",
        "the confusion matrix counts 10 images, but 8 are claimed",
    ),
    "confusion and wrong images": (
        lambda run: edit(run, "val", "wrong", [0] * 8),
        "contradiction",
        "8 misclassified images are listed, but the confusion matrix counts",
    ),
    "gap edited": (
        lambda run: (edit(run, "val", "black_box", 1.0), edit(run, "val", "gap", 0.0)),
        "contradiction",
        "a gap of 0.00 points is claimed, but it is ",
    ),
    "measurements of another method": (
        lambda run: edit(run, "method", "kmex"),
        "contradiction",
        "metrics.json is of the method 'kmex'",
    ),
    "measurements no JSON": (
        lambda run: (run / "metrics.json").write_text("{"),
        "unreadable",
        "metrics.json cannot be read",
    ),
    "options no YAML": (
        lambda run: (run / "config.yaml").write_text("a: [1"),
        "unreadable",
        "config.yaml",
    ),
    "options of another method": (
        lambda run: (run / "config.yaml").write_text("command: train\nmethod: kmex\n"),
        "contradiction",
        "config.yaml is of the method 'kmex'",
    ),
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
    damage, kind, words = DAMAGES[name]
    damage(run)
    inspection = resemblance.inspect(run)
    found = [(finding.kind, finding.says) for finding in inspection.findings]
    assert any(one == kind and words in says for one, says in found), found
    assert not any("\n" in says or str(run.parent) in says for _, says in found)
    json.dumps(inspection.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    "name", ["picture changed", "picture missing", "weights changed", "weights missing", "picture a link out"]
)
def test_pictures_and_weights_are_tied_by_their_checksums(name: str, run: Path) -> None:
    assert resemblance.inspect(run).provenance.tied
    DAMAGES[name][0](run)
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


def test_files_that_may_be_there(run: Path) -> None:
    (run / "model" / "LICENSE").write_text("\nMIT License\n\nCopyright")
    (run / "model" / "README.md").write_text(
        "---\ntags: [x]\nlicense: apache-2.0\n---\n# A model\nlicense: none"
    )
    (run / "model" / ".gitattributes").write_text("*.png binary")
    (run / "prototypes.pdf").write_bytes(b"%PDF")
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


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: None, "no such folder"),
        (lambda folder: folder.write_text("x"), "is a file"),
        (lambda folder: folder.mkdir(), "neither a run folder"),
        (lambda folder: (folder / "checkpoints").mkdir(parents=True), "is not finished"),
    ],
)
def test_other_paths_are_refused(make: Callable[[Path], Any], words: str, tmp_path: Path) -> None:
    make(tmp_path / "it")
    with pytest.raises(resemblance.UserError, match=words):
        resemblance.inspect(tmp_path / "it")


def test_tensors_are_read_as_safetensors_reads_them(tmp_path: Path) -> None:
    path = tmp_path / WEIGHTS
    tensors = {
        "a": torch.arange(6).reshape(2, 3),
        "b": torch.tensor([True, False]),
        "c": torch.tensor([1.5, float("inf"), float("nan")]),
        "half": torch.tensor([1.0, float("nan")], dtype=torch.bfloat16),
        "none": torch.empty(0, 3),
        "scalar": torch.tensor(2.5, dtype=torch.float64),
    }
    save_file(tensors, path, {"author": "somebody"})
    read = read_tensor_file(path, "it")
    assert read.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        array = read.read(name)
        assert read.tensors[name].shape == tuple(tensor.shape)
        assert read.not_finite(name) == int((~tensor.isfinite()).sum())
        if name == "half":
            assert array is None
        else:
            assert array is not None
            np.testing.assert_array_equal(array, tensor.numpy())
