"""The pages on methods, against the methods that there are."""

from __future__ import annotations

import doctest
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

import pytest

from resemblance.methods.registry import list_methods

ROOT = Path(__file__).parents[2]


def extension(name):
    """A module of docs/extensions, which is no package."""
    spec = spec_from_file_location(name, ROOT / "docs" / "extensions" / f"{name}.py")
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


tables = extension("method_tables")


@pytest.mark.parametrize("name", tables.FILES)
def test_tables_of_methods_are_up_to_date(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert text == tables.updated(name), "run: python docs/extensions/method_tables.py"


def test_each_method_has_a_page():
    pages = {path.stem for path in (ROOT / "docs" / "methods").glob("*.md")} - {"index"}
    assert pages == set(list_methods())


def test_the_navigation_lists_the_pages_by_itself():
    pytest.importorskip("mkdocs")
    nav = [{"Home": "index.md"}, {"Methods": ["methods/index.md", {"Add a method": "add-a-method.md"}]}]
    config = extension("navigation").on_config(SimpleNamespace(nav=nav, docs_dir=str(ROOT / "docs")))
    first, *pages, last = config.nav[1]["Methods"]
    assert (first, last) == ("methods/index.md", {"Add a method": "add-a-method.md"})
    assert sorted(pages) == sorted(f"methods/{name}.md" for name in list_methods())
    assert (
        pages.index("methods/blackbox.md")
        < pages.index("methods/deformable.md")
        < pages.index("methods/flint.md")
    )


def test_examples_run():
    assert doctest.testmod(tables).failed == 0
