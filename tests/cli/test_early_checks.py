"""Test that files that do not exist are noticed before torch is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from resemblance.cli.main import main

SCRIPT = """
import sys
from resemblance.cli.main import main
code = main(sys.argv[1:])
print(code, "torch" in sys.modules, "timm" in sys.modules)
"""


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "convert nothing.pth --data digits",
            "no such file: nothing.pth; MODEL is a run folder, a timm name (give",
        ),
        ("convert runs/nothing --data digits", "no such folder: runs/nothing"),
        ("convert ./nothing", "no such folder: ./nothing"),
        ("convert resnet18 --weights nothing.pth --data digits", "weights file 'nothing.pth' does not exist"),
        ("convert resnet18 --weights no.pth::ema --data digits", "weights file 'no.pth' does not exist"),
        (
            "convert resnet18 --weights w.txt --data digits",
            "weights file 'w.txt' is neither .safetensors nor",
        ),
        (
            "convert here.pth --data digits",
            "here.pth is a file; MODEL is a run folder, a timm name (give the file to",
        ),
        ("train blackbox --data digitz", "no such data: digitz; did you mean ./digits2?"),
        (
            "train blackbox --data mnist:nowhere",
            "mnist:DIR needs the folder with mnist's files; no such data: nowhere",
        ),
        ("train blackbox --data digits --weights nothing.pth", "weights file 'nothing.pth' does not exist"),
        ("train protopshare --data digits --start nowhere", "--start nowhere: no such folder"),
        (
            "explain runs/nothing a.png",
            "no such folder: runs/nothing; for a model on the Hugging Face Hub write hf:runs",
        ),
        ("evaluate runs-nothing", "no such folder: runs-nothing"),
        ("report nothing-at-all", "no such folder: nothing-at-all"),
        ("audit nothing-at-all", "no such folder: nothing-at-all"),
        ("prototypes nothing-at-all", "no such folder: nothing-at-all"),
        ("embed nothing-at-all", "no such folder: nothing-at-all"),
    ],
)
def test_missing_files_give_one_line(line, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.txt").touch()
    (tmp_path / "here.pth").touch()
    (tmp_path / "digits2").mkdir()
    assert main(line.split()) == 2
    error = capsys.readouterr().err
    assert message.replace("./digits2", "digits2") in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "line", ["convert nothing.pth", "explain nothing a.png", "train kmex --data nowhere"]
)
def test_torch_is_not_imported_for_them(line, tmp_path):
    command = [sys.executable, "-c", SCRIPT, *line.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True, cwd=tmp_path)
    assert done.stdout == "2 False False\n"
    assert done.stderr.startswith("resemblance: error: no such")
