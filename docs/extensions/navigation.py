"""For the site's navigation: each page in ``docs/methods/`` is listed under Methods, no list is kept by hand."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig

SECTION = "Methods"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the methods' pages, ordered by their headings, behind the section's first page."""
    assert config.nav is not None
    section = next(entry[SECTION] for entry in config.nav if isinstance(entry, dict) and SECTION in entry)
    pages = [path for path in Path(config.docs_dir, "methods").glob("*.md") if path.name != "index.md"]
    section[1:1] = [f"methods/{path.name}" for path in sorted(pages, key=_heading)]
    return config


def _heading(page: Path) -> str:
    return page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ").casefold()
