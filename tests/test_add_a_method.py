"""The example of docs/add-a-method.md, taken from the page and run."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch

import resemblance
from contract_checks import assert_contract
from resemblance.methods import registry

PAGE = Path(__file__).parents[1] / "docs" / "add-a-method.md"


def blocks() -> dict[str, str]:
    """The page's code by title."""
    found = re.findall(r'^```python title="(\S+)"\n(.*?)^```$', PAGE.read_text(encoding="utf-8"), re.M | re.S)
    return dict(found)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with the page's files; whatever they register is forgotten afterwards."""
    for name, code in blocks().items():
        (tmp_path / name).write_text(code, encoding="utf-8")
    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("exemplar", None)


def test_the_page_has_both_files():
    assert list(blocks()) == ["exemplar.py", "try_exemplar.py"]


def test_the_example_trains_explains_and_saves(folder, capsys):
    names: dict[str, object] = {}
    exec((folder / "try_exemplar.py").read_text(), names)
    model, splits = names["model"], names["splits"]
    assert_contract(model, torch.rand(3, 1, 32, 32))
    printed = capsys.readouterr().out
    assert "projected 20 prototypes" in printed
    assert "predicted" in printed
    accuracy = resemblance.evaluate(model, splits.test).accuracy
    assert accuracy > 0.6  # chance is 0.1

    again = resemblance.load(folder / "runs" / "exemplar")
    assert len(again.gallery) == 20
    explanation = again.explain(splits.test.read(0))
    assert explanation.breakdown.adds_up
    assert explanation.to_dict() == model.explain(splits.test.read(0)).to_dict()
