"""The example of docs/add-a-method.md, taken from the page and run: in Python, on the command line, as a package."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import resemblance
from contract_checks import assert_contract
from resemblance.cli.main import main
from resemblance.methods import registry

PAGE = (Path(__file__).parents[1] / "docs" / "add-a-method.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r'^```python title="(\S+)"\n(.*?)^```$', PAGE, re.M | re.S))
COMMANDS = [
    line for block in re.findall(r"^```bash\n(.*?)^```$", PAGE, re.M | re.S) for line in block.splitlines()
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, object], str]]:
    """A folder with the page's files and the run that its Python code makes; the code's names, and what it printed."""
    folder = tmp_path_factory.mktemp("exemplar")
    for name, code in FILES.items():
        (folder / name).write_text(code, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        forgettable(patch, folder)
        printed: list[str] = []
        names: dict[str, object] = {"print": lambda *values: printed.extend(map(str, values))}
        exec((folder / "try_exemplar.py").read_text().replace("epochs=6", "epochs=3"), names)
        yield folder, names, "\n".join(printed)
    sys.modules.pop("exemplar", None)


def forgettable(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Work in the folder; what is registered, and found there, is forgotten afterwards."""
    patch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))
    patch.setattr(sys, "path", [str(folder), *sys.path])
    patch.chdir(folder)
    patch.setenv("RESEMBLANCE_DEBUG", "1")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder, where nobody has heard of the method."""
    monkeypatch.setattr(registry, "_REGISTERED", {})
    monkeypatch.delitem(sys.modules, "exemplar", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    registry._installed.cache_clear()
    yield tmp_path
    registry._installed.cache_clear()


def test_the_page_imports_from_two_packages_only() -> None:
    assert list(FILES) == ["exemplar.py", "try_exemplar.py"]
    imports = re.findall(r"^(?:from|import) (resemblance\S*)", "".join(FILES.values()), re.M)
    assert set(imports) == {"resemblance", "resemblance.methods"}


def test_the_example_trains_explains_and_saves(trained: tuple[Path, dict[str, object], str]) -> None:
    folder, names, printed = trained
    assert "projected 20 prototypes" in printed
    assert "predicted" in printed
    run = names["run"]
    assert isinstance(run, resemblance.Run)
    assert run.metrics["test"]["accuracy"] > 0.6  # chance is 0.1
    assert_contract(run.model, torch.rand(3, 1, 32, 32))
    again = resemblance.load(folder / "runs" / "exemplar")
    assert len(again.gallery) == 20
    image = run.images().test.read(0)
    assert again.explain(image).breakdown.adds_up
    assert again.explain(image).to_dict() == run.model.explain(image).to_dict()


def test_the_commands_of_the_page_run(
    trained: tuple[Path, dict[str, object], str], elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(trained[0] / "exemplar.py", elsewhere)
    resemblance.open_data("digits").test.read(0).save("digit.png")
    assert [shlex.split(line)[1] for line in COMMANDS] == [
        *("train", "evaluate", "report", "prototypes", "embed", "explain", "--import")
    ]
    for line in COMMANDS:
        words = shlex.split(line.replace("--epochs 6", "--epochs 1 --no-report --no-progress"))
        assert words.pop(0) == "resemblance"
        assert main(words) == 0, (line, capsys.readouterr().err)
    made = {path.name for path in Path("runs/again").iterdir()}
    assert {"report.html", "prototypes.png", "latents.png", "explanations"} <= made
    assert "a few training images per class" in capsys.readouterr().out


def test_a_model_of_an_unknown_method_names_the_solution(
    trained: tuple[Path, dict[str, object], str], elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained[0] / "runs" / "exemplar"
    assert main(["evaluate", str(run)]) == 2
    said = capsys.readouterr().err
    assert "holds a model of the unknown method 'exemplar'" in said
    assert "--import" in said
    assert "pip install" in said
    with pytest.raises(resemblance.UserError, match="unknown method 'exemplar'"):
        resemblance.train("exemplar", "digits")


def test_an_installed_package_brings_its_method(
    trained: tuple[Path, dict[str, object], str],
    elsewhere: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    site = elsewhere / "site-packages"
    info = site / "exemplar-1.0.dist-info"
    info.mkdir(parents=True)
    code = FILES["exemplar.py"].replace("@register\n", "")  # the entry point is enough
    (site / "exemplar.py").write_text(code, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: exemplar\nVersion: 1.0\n")
    [toml] = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.M | re.S)
    group = re.search(r'entry-points\."(.*?)"', toml)[1]
    (info / "entry_points.txt").write_text(f"[{group}]\nexemplar = exemplar:ExemplarConfig\n")
    monkeypatch.syspath_prepend(site)
    registry._installed.cache_clear()
    assert "exemplar" in resemblance.list_methods()
    assert main(["evaluate", str(trained[0] / "runs" / "exemplar")]) == 0
    assert "exemplar: " in capsys.readouterr().out
    run = resemblance.open_run(trained[0] / "runs" / "exemplar")
    assert (run.name, type(run.model).__name__) == ("exemplar", "Exemplar")
