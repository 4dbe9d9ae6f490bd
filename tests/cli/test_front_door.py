"""Test what a user sees before any computation: help, names, options, errors of one line."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import resemblance
from resemblance.cli.main import main
from resemblance.config.commands import COMMANDS
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.methods.registry import build, get_config, list_methods, method_configs

HEAVY = ("torch", "numpy", "torchvision", "timm", "lightning", "sklearn", "matplotlib", "PIL")


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["methods", "--json"], ["train", "protopnet", "--help"], ["convert", "--help"]],
    ids=" ".join,
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from resemblance.cli.main import main; assert main(sys.argv[1:]) == 0;"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "[]"


def test_help_is_quick() -> None:
    """Check that help takes less than half a second of processor time, which does not depend on other programs."""
    resource = pytest.importorskip("resource")

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "resemblance", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return float(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)

    assert min(seconds() for _ in range(3)) < 0.5


def test_an_explanation_as_json_imports_only_what_it_needs(tmp_path: Path) -> None:
    """A small model explains an image in the time in which matplotlib and the trainers would still be imported."""
    image = ImageSpec(32, 32, 1, (0.5,), (0.25,))
    model = build("kmex", {"encoder": "small", "prototypes_per_class": 1}, ModelSpec(("a", "b"), image))
    model.save(tmp_path / "model")
    Image.new("L", (32, 32), 90).save(tmp_path / "grey.png")
    words = ["explain", str(tmp_path / "model"), str(tmp_path / "grey.png"), "--json"]
    slow = ("lightning", "matplotlib", "sklearn", "timm", "torch._dynamo", "torchmetrics", "torchvision")
    done = python(
        f"import sys; from resemblance.cli.main import main; assert main({words}) == 0;"
        f"print([name for name in {slow} if name in sys.modules], file=sys.stderr)"
    )
    assert done.stderr.splitlines()[-1] == "[]", done.stderr
    assert json.loads(done.stdout)[0]["method"] == "kmex"
    assert not (tmp_path / "explanations").exists()


def test_public_names_resolve() -> None:
    for name in resemblance.__all__:
        assert getattr(resemblance, name) is not None
        assert name in dir(resemblance)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = resemblance.nothing


def test_import_alone_imports_nothing() -> None:
    done = python(f"import sys, resemblance; print([name for name in {HEAVY} if name in sys.modules])")
    assert done.stdout.strip() == "[]"


def test_every_method_has_a_configuration_of_its_name() -> None:
    assert set(method_configs()) == set(list_methods())
    for name, config in method_configs().items():
        assert get_config(name) is config
        assert config.line
        assert config.citation


def test_every_command_and_method_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in [[], ["--help"], *([name, "--help"] for name in COMMANDS)]:
        assert main(arguments) == 0
        assert "usage: resemblance" in capsys.readouterr().out
    for name in method_configs():
        assert main(["train", name, "--help"]) == 0
        shown = capsys.readouterr().out
        for option in (
            "--data",
            "--output",
            "--image-size",
            "--epochs",
            "--seed",
            "--precision",
            "--devices",
        ):
            assert f"{option} " in shown, (name, option)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("trian", "unknown command 'trian'; did you mean 'train'?"),
        ("--verbose", "unknown option '--verbose'"),
        ("train", "train needs a method first; the methods are"),
        ("train kmx --data d", "unknown method 'kmx'; did you mean 'kmex'?"),
        ("train --data d", "train needs a method first; the methods are"),
        ("train kmex --data d --epoch 3", "unknown option '--epoch'; did you mean '--epochs'"),
        ("explain", "RUN and IMAGE are missing"),
    ],
)
def test_mistakes_are_named_in_one_line(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("resemblance: error: ")
    assert message in printed.err


def test_methods(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods"]) == 0
    assert "Gautam" in capsys.readouterr().out
    assert main(["methods", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {entry["name"] for entry in listed} == set(list_methods())


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "runs/a"), "runs/a: Permission denied"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 5000), "x" * 200 + ": File name too long"),
        (MemoryError(), "there is not enough memory; a smaller --batch-size or --image-size needs less"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
            "there is not enough memory; a smaller --batch-size or --image-size needs less",
        ),
    ],
)
def test_errors_of_files_and_memory_are_not_internal(
    problem: Exception,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(options: object) -> int:
        raise problem

    monkeypatch.setattr("resemblance.cli.commands.methods.run", broken)
    assert main(["methods"]) == 2
    assert capsys.readouterr().err == f"resemblance: error: {message}\n"


def test_internal_errors_are_also_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(options: object) -> int:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("resemblance.cli.commands.methods.run", broken)
    monkeypatch.delenv("RESEMBLANCE_DEBUG", raising=False)
    assert main(["methods"]) == 1
    error = capsys.readouterr().err
    assert (
        error
        == "resemblance: internal error, RuntimeError: two lines (RESEMBLANCE_DEBUG=1 shows the trace)\n"
    )
    monkeypatch.setenv("RESEMBLANCE_DEBUG", "1")
    with pytest.raises(RuntimeError):
        main(["methods"])


def test_interrupt(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("resemblance.cli.commands.methods.run", interrupted)
    assert main(["methods"]) == 130
    assert capsys.readouterr().err == "resemblance: interrupted\n"


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Handle SIGINT as Python does, whatever the tests are run by."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("other", [ValueError, UserError])
def test_an_interrupt_that_becomes_another_error_is_one(
    other: type[Exception], ctrl_c: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in an import of compiled code."""

    def interrupted(options: object) -> int:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise other("half imported") from None
        return 0

    monkeypatch.setattr("resemblance.cli.commands.methods.run", interrupted)
    assert main(["methods"]) == 130
    assert capsys.readouterr().err == "resemblance: interrupted\n"


def test_an_interrupt_in_a_destructor_comes_again(
    ctrl_c: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    def interrupted(options: object) -> int:
        Interrupted()
        time.sleep(10)
        return 0

    hook = sys.unraisablehook
    monkeypatch.setattr("resemblance.cli.commands.methods.run", interrupted)
    assert main(["methods"]) == 130
    assert sys.unraisablehook is hook
    assert capsys.readouterr().err == "resemblance: interrupted\n"
