"""Test that configuration files are read as plain data, and that anything else is refused quickly in one line."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from resemblance.config.errors import UserError
from resemblance.config.files.options_file import DEEPEST, LARGEST, read_options


def test_plain_data(tmp_path: Path) -> None:
    file = tmp_path / "options.yaml"
    file.write_bytes(
        "\ufeffepochs: 3\nrate: 0.001\nresume: yes\noutput: null\nmean: [0.5, 0.25]\nbase: {config: {a: 1}}\n"
        "day: 2024-02-31\nsign: =\n<<: text\n3: three\nname: é\n".encode()
    )
    assert read_options(file) == {
        "epochs": 3,
        "rate": 0.001,
        "resume": True,
        "output": None,
        "mean": [0.5, 0.25],
        "base": {"config": {"a": 1}},
        "day": "2024-02-31",
        "sign": "=",
        "<<": "text",
        "3": "three",
        "name": "é",
    }


def bomb() -> str:
    """Return nine nested lists of nine aliases each: 9^9 words in 500 characters."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("epochs: 1\nseed: 2\nepochs: 3", ", line 3: 'epochs' is given twice"),
        ("base: {a: 1, a: 1}", ", line 1: 'a' is given twice"),
        (bomb(), ", line 1: anchors and aliases (& and *) are not allowed here"),
        ("a: *b", ", line 1: anchors and aliases (& and *) are not allowed here"),
        ("[" * (LARGEST // 2), f", line 1: more than {DEEPEST} lists and mappings are nested"),
        ("- " * (LARGEST // 2), f", line 1: more than {DEEPEST} lists and mappings are nested"),
        ("{a: " * (LARGEST // 4), f", line 1: more than {DEEPEST} lists and mappings are nested"),
        ("a: " + "x" * LARGEST, " is larger than 100 kB, too large for a file of options"),
        ("[" + "a, " * (LARGEST // 4) + "]", " does not hold options; expected lines such as 'epochs: 3'"),
        ("a: !!python/object/apply:os.getcwd []", ", line 1: tags (!) are not allowed here"),
        ("a: !!int x", ", line 1: tags (!) are not allowed here"),
        ("a: " + "9" * 5000, " holds a number that cannot be read"),
        ("[1, 2", ", line 1: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'"),
        ("epochs: 1\n\tseed: 2", ", line 2: while scanning for the next token, found character '\\t' that"),
        ("a: 1\n---\nb: 2", ", line 2: expected a single document in the stream, but found another document"),
        ("[a]: 1", ", line 1: while constructing a mapping, found unhashable key"),
        ("- a", " does not hold options; expected lines such as 'epochs: 3'"),
        ("", " does not hold options; expected lines such as 'epochs: 3'"),
        ("\x00", " is not text in YAML"),
        ("label: é".encode("latin-1"), " is not text in UTF-8"),
        ("epochs: 3".encode("utf-16"), " is not text in UTF-8"),
    ],
)
def test_anything_else_is_refused_quickly_in_one_line(
    content: str | bytes, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "options.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    started = time.process_time()
    with pytest.raises(UserError) as error:
        read_options(file)
    assert time.process_time() - started < 5
    assert str(error.value).startswith(f"configuration file '{file}'{message}")
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^no such configuration file: '.*nothing\.yaml'$"):
        read_options(tmp_path / "nothing.yaml")
    with pytest.raises(UserError, match=r"^configuration file '.*': Is a directory$"):
        read_options(tmp_path)
