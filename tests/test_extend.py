"""The examples of docs/extend.md, taken from the page and run."""

from __future__ import annotations

import re
import shlex
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

import resemblance
from resemblance.cli.main import main
from resemblance.data import open as opening
from resemblance.methods import registry

PAGE = (Path(__file__).parents[1] / "docs" / "extend.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r'^```python title="(\S+)"\n(.*?)^```$', PAGE, re.M | re.S))
COMMANDS = [
    line for code in re.findall(r"^```bash\n(.*?)^```$", PAGE, re.M | re.S) for line in code.splitlines()
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder with the page's files and a run; what they register is forgotten afterwards."""
    folder = tmp_path_factory.mktemp("extend")
    for name, code in FILES.items():
        (folder / name).write_text(code, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", list(sys.path))
        patch.setattr(opening, "_REGISTERED", {})
        patch.setenv("RESEMBLANCE_DEBUG", "1")
        resemblance.train("prototypedl", "digits", "runs/digits", epochs=1, batch_size=128)
        yield folder
    sys.modules.pop("stripes", None)


def run_file(name: str, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, object], str]:
    """Run a file of the page; its names, and what it printed."""
    names: dict[str, object] = {}
    exec(compile(FILES[name], name, "exec"), names)
    return names, capsys.readouterr().out


def test_the_page_imports_nothing_from_within() -> None:
    assert list(FILES) == ["balanced.py", "calibration.py", "stripes.py", "stability.py", "compare.py"]
    imports = re.findall(r"^(?:from|import) (resemblance\S*)", "".join(FILES.values()), re.M)
    assert set(imports) == {"resemblance"}


def test_metrics(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names, printed = run_file("balanced.py", capsys)
    assert 0 <= float(printed) <= 1
    evaluation = names["run"].evaluate()
    assert float(printed) == pytest.approx(
        sum(evaluation.confusion.diagonal() / evaluation.confusion.sum(axis=1)) / 10
    )
    assert 0 <= float(run_file("calibration.py", capsys)[1]) <= 1


def test_a_data_source(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line in COMMANDS:
        assert main([*shlex.split(line)[1:]]) == 0, capsys.readouterr().err
    assert "stripes: " in capsys.readouterr().out
    splits = sys.modules["stripes"].open_stripes("200", 0, 0.1)
    assert (len(splits.train), len(splits.val), splits.test) == (180, 20, None)
    assert main(["train", "prototypedl", "--data", "stripes:many", "--output", "runs/none"]) == 2
    assert "expected a number of images" in capsys.readouterr().err


def test_an_audit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = run_file("stability.py", capsys)[1]
    assert re.search(r"the same prototype for \d+% of the images", printed)
    assert "predicted" in printed


@pytest.mark.slow
def test_the_change_of_a_method_in_the_researchers_guide(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_REGISTERED", {})
    guide = (Path(__file__).parents[1] / "docs" / "guide" / "researcher.md").read_text(encoding="utf-8")
    [code] = re.findall(r'^```python title="change.py"\n(.*?)^```$', guide, re.M | re.S)
    Path("change.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    exec(compile(code, "change.py", "exec"), vars(sys.modules["__main__"]))
    assert "projected 20 prototypes" in capsys.readouterr().out
    assert main(["evaluate", "runs/sgd", "--import", "change"]) == 0
    sys.modules.pop("change")


def test_a_command(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["compare.py", "runs/digits"])
    printed = run_file("compare.py", capsys)[1].splitlines()
    assert printed[0].startswith("digits 0.")
    assert printed[1] == "compare.html"
    assert Path("compare.html").is_file()
