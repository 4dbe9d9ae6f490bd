"""The tables of methods in README.md and docs/methods/index.md, made of the methods' configurations and traits.

``python docs/extensions/method_tables.py`` writes them again, between two comments in each file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from resemblance.config.image import ImageSpec
from resemblance.config.method import MethodConfig
from resemblance.config.model import ModelSpec
from resemblance.methods.registry import build, method_configs

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- methods: begin -->", "<!-- methods: end -->"
SPEC = ModelSpec(("a", "b"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))


def shipped() -> list[type[MethodConfig]]:
    """Return the configurations of this library's methods."""
    own = f"{MethodConfig.__module__.partition('.')[0]}.methods."
    return [config for config in method_configs().values() if config.__module__.startswith(own)]


def readme_table() -> str:
    """Return the table of README.md: methods with a line and their papers."""
    rows = [
        (f"[`{config.name}`](docs/methods/{config.name}.md)", config.line, short(config.citation))
        for config in shipped()
    ]
    return table(["method", "what it is", "paper"], rows)


def index_table() -> str:
    """Return the table of docs/methods/index.md: what the methods do by default, too."""
    rows = []
    for config in shipped():
        small = {"encoder": "small"} if "encoder" in {field.name for field in fields(config)} else {}
        traits = build(config.name, small, SPEC, load_weights=False).traits
        marks = ["yes" if has else "–" for has in (traits.maps, traits.projects, traits.decodes)]
        link = f"[`{config.name}`]({config.name}.md)"
        rows.append((link, config.line, *marks, traits.score_kind, short(config.citation)))
    return table(["method", "what it is", "maps", "projects", "decodes", "score", "paper"], rows)


FILES = {"README.md": readme_table, "docs/methods/index.md": index_table}


def short(citation: str) -> str:
    """Shorten "A, B, C: Title. VENUE 2024" to "A et al., VENUE 2024".

    Example:
        >>> short("Li, Wu: On Birds. ICML 2020"), short("Li, Wu, Xu: On Birds. ICML 2020"), short("baseline")
        ('Li and Wu, ICML 2020', 'Li et al., ICML 2020', 'baseline')
    """
    authors, colon, rest = citation.partition(": ")
    if not colon:
        return citation
    first, *others = authors.split(", ")
    more = "" if not others else f" and {others[0]}" if len(others) == 1 else " et al."
    return f"{first}{more}, {rest.rpartition('. ')[2]}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown.

    Example:
        >>> print(table(["a", "b"], [["1", "2"]]))
        | a | b |
        | --- | --- |
        | 1 | 2 |
    """
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def updated(name: str) -> str:
    """Return the text of a file with its table made again.

    Raises:
        ValueError: if the file lacks the comments around the table.
    """
    text = (ROOT / name).read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{name} has no table between {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{FILES[name]()}\n\n{END}{after}"


if __name__ == "__main__":
    for name in FILES:
        (ROOT / name).write_text(updated(name), encoding="utf-8")
