"""``resemblance inspect``: what it prints, and its exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import resemblance
from commanding import Command
from forged_folders import change_json, make_run

pytestmark = pytest.mark.usefixtures("show_traces")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("whole") / "run")


def test_a_whole_folder(whole: Path, command: Command) -> None:
    code, out, err = command("inspect", whole)
    assert (code, err) == (0, "")
    for words in (
        "(run folder, written by resemblance ",
        "method          protopnet: this looks like that",
        "classes         2: cat, dog",
        "input           28×28, grey; each side scaled on its own (bilinear)",
        "normalisation   mean 0.5, standard deviation 0.25",
        "4 with a picture, 4 with the name of their source image",
        "pictures and weights belong together",
        "licence         none stated",
        "notes           made for a test",
        "config.json, metrics.json",
        "nothing is wrong",
    ):
        assert words in out
    accuracy = json.loads((whole / "metrics.json").read_text())["test"]["accuracy"]
    assert f"{100 * accuracy:.2f} %" in out


def test_a_damaged_folder(whole: Path, tmp_path: Path, command: Command) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    (run / "model" / "extra.pkl").write_bytes(b"x")
    (run / "model" / "model.safetensors").unlink()
    change_json(run / "metrics.json", lambda document: document["test"].update(accuracy=0.999))
    code, out, err = command("inspect", run)
    assert (code, err) == (3, "")
    lines = out.splitlines()
    marked = [line for line in lines if line.startswith("! ")]
    assert lines[-1] == f"{len(marked)} things are wrong"
    for words in ("model.safetensors is missing", "extra.pkl is a pickle", "by the confusion matrix"):
        assert any(words in line for line in marked)
    assert "it is not certain that pictures and weights belong together" in out


def test_json(whole: Path, tmp_path: Path, command: Command) -> None:
    code, out, _ = command("inspect", whole, "--json")
    assert code == 0
    assert json.loads(out) == json.loads(json.dumps(resemblance.inspect(whole).to_dict()))
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    (run / "model" / "config.json").write_text("nonsense")
    code, out, _ = command("inspect", run / "model", "--json")
    assert code == 3
    told = json.loads(out)
    assert (told["consistent"], told["method"], told["image"]) == (False, None, None)
    assert told["findings"][0]["kind"] == "unreadable"


def test_names_from_the_folder_move_no_cursor(whole: Path, tmp_path: Path, command: Command) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    (run / "model" / "a\x1b[2J\nnothing is wrong").write_bytes(b"x")
    change_json(run / "model" / "config.json", lambda document: document.update(encoder="a\x1b[2J\nb"))
    code, out, _ = command("inspect", run)
    assert code == 3
    assert "\x1b" not in out
    assert "\nnothing is wrong" not in out


def test_other_paths_are_one_line(tmp_path: Path, command: Command) -> None:
    code, out, err = command("inspect", tmp_path)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "is neither a run folder (with model/) nor a model folder" in err
