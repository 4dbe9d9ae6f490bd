"""Test the script that tries timm's names, and the table that it wrote into the documentation."""

from __future__ import annotations

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

ROOT = Path(__file__).parents[2]


def script():
    spec = spec_from_file_location("timm_names", ROOT / "experiments" / "timm_names.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_reasons_are_collected():
    text = script().table(
        {"a": "", "b": "encoder b is odd; choose another", "c": "encoder c is odd", "d": "FAILS: x"}
    )
    assert text.startswith("1 of the 4 names of timm")
    assert "| `b`, `c` | is odd |" in text
    assert "| `d` | FAILS: x |" in text


def test_a_name_is_tried_without_weights():
    names = script()
    assert names.attempt("test_resnet") == ""
    assert "2 classifiers" in names.attempt("deit_tiny_distilled_patch16_224")


def test_the_page_has_no_name_that_fails_without_a_reason():
    page = (ROOT / "docs" / "encoders.md").read_text(encoding="utf-8")
    [table] = re.findall("<!-- timm exceptions -->(.*)<!-- end of timm exceptions -->", page, re.DOTALL)
    assert re.search(r"\d+ of the \d+ names of timm [\d.]+ work", table)
    assert "FAILS" not in table
