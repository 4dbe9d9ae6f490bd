"""Folders are described without running anything."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import resemblance
from cases import METHODS
from forged_folders import CLASSES
from resemblance.runs.finish import finish
from tiny import digits


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


def test_a_folder_of_runs_names_them(run: Path) -> None:
    shutil.copytree(run, run.with_name("second"))
    (run.parent / "logs").mkdir()
    with pytest.raises(resemblance.UserError, match=r"name one of the runs in it: run, second$"):
        resemblance.inspect(run.parent)
