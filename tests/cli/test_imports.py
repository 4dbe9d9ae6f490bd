"""Test modules named by ``--import``: methods and kinds of data of other packages on the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from resemblance.cli.main import main, split_imports
from resemblance.config.commands import COMMANDS
from resemblance.data import open as opening
from resemblance.methods import registry

METHOD = '''
from dataclasses import dataclass
from typing import ClassVar
from resemblance.methods import ProtoPNetConfig, option, register

@register
@dataclass
class Mine(ProtoPNetConfig):
    """Mine."""
    name: ClassVar[str] = "mine"
    line: ClassVar[str] = "a method of somebody else's"
    strangeness: int = option(1, "how strange it is", least=0)
'''
DATA = """
import resemblance

def dark(path, seed, val_fraction):
    if path != "here":
        raise resemblance.UserError(f"dark:{path}: no such darkness")
    return resemblance.open_data("digits", seed=seed, val_fraction=val_fraction)

resemblance.register_source("dark", dark)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a working folder with modules, which are removed from ``sys.modules`` afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_REGISTERED", {})
    monkeypatch.setattr(opening, "_REGISTERED", {})
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "my_methods").mkdir()
    (tmp_path / "my_methods" / "mine.py").write_text(METHOD, encoding="utf-8")
    (tmp_path / "darkness.py").write_text(DATA, encoding="utf-8")
    (tmp_path / "broken.py").write_text("raise RuntimeError('two\\nlines')", encoding="utf-8")
    yield tmp_path
    for name in ("my_methods.mine", "my_methods", "darkness", "broken"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "line",
    [
        "--import my_methods.mine methods --json",
        "methods --json --import my_methods.mine",
        "methods --import=darkness --json --import=my_methods.mine",
    ],
)
def test_it_is_given_before_or_after_the_command(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 0
    assert "mine" in [entry["name"] for entry in json.loads(capsys.readouterr().out)]


def test_the_help_of_an_imported_method(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "mine", "--help"]) == 2
    assert "unknown method 'mine'" in capsys.readouterr().err
    assert main(["train", "mine", "--import", "my_methods.mine", "--help"]) == 0
    assert "--strangeness N" in capsys.readouterr().out


def test_data_of_an_imported_kind(capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["--epochs", "1", "--batch-size", "128", "--no-report", "--no-progress", "--import", "darkness"]
    assert main(["train", "prototypedl", "--data", "dark:here", *quick]) == 0
    assert "run folder: runs/prototypedl-dark" in capsys.readouterr().out
    assert main(["evaluate", "runs/prototypedl-dark", "--import", "darkness"]) == 0
    capsys.readouterr()
    assert main(["train", "prototypedl", "--data", "dark:there", "--output", "other", *quick]) == 2
    assert capsys.readouterr().err == "resemblance: error: dark:there: no such darkness\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "methods --import nowhere",
            "--import: cannot import 'nowhere': ModuleNotFoundError: No module named",
        ),
        ("methods --import broken", "--import: cannot import 'broken': RuntimeError: two lines"),
        (
            "methods --import my_methods/mine.py",
            "--import: give the module's name, 'my_methods.mine', not a file",
        ),
        ("methods --import", "--import: expected the name of a module, package.module"),
        ("methods --import --json", "--import: expected the name of a module, package.module"),
        ("demo --import darkness", "demo takes no --import"),
    ],
)
def test_mistakes_are_one_line(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert printed.err.startswith(f"resemblance: error: {message}")


def test_every_command_that_uses_methods_shows_import_in_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        assert main([name, "--help"]) == 0
        assert ("--import PACKAGE.MODULE" in capsys.readouterr().out) == (name != "demo")


def test_words_after_two_dashes_are_not_options() -> None:
    assert split_imports(["explain", "run", "--", "--import", "a.png"])[1] == []


def test_a_module_cannot_use_a_name_of_this_library() -> None:
    with pytest.raises(ValueError, match="'digits' cannot name a kind of data"):
        opening.register_source("digits", lambda path, seed, fraction: None)
    with pytest.raises(ValueError, match="cannot name"):
        opening.register_source("a b", lambda path, seed, fraction: None)
