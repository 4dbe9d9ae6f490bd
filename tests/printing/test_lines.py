"""Lines, JSON, warnings, tables and bars on streams of any encoding."""

from __future__ import annotations

import io
import json
import sys
import warnings

import pytest
from rich.progress import Progress, TextColumn
from rich.table import Table
from rich.text import Text

from resemblance.printing.lines import FolderWarning, json_text, printing_everything, say, shown
from resemblance.printing.terminal import Terminal

ENCODINGS = ["utf-8", "cp1252", "latin-1", "ascii", "cp437"]
TEXT = "3 × 3 … a—b ≥ 1 → θ \u202e \x1b[31m \udcff \x9b 猫"


def stream(encoding):
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict", newline="\n")


def written(file):
    file.flush()
    return file.buffer.getvalue().decode(file.encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_all_text_can_be_printed(encoding):
    file = stream(encoding)
    say(TEXT, file)
    text = written(file)
    assert text.endswith("\n")
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert r"\u202e \x1b[31m \udcff \x9b" in text


def test_what_an_encoding_lacks_is_legible():
    assert shown(TEXT, stream("ascii")) == r"3 x 3 ... a-b >= 1 -> \u03b8 \u202e \x1b[31m \udcff \x9b \u732b"
    assert shown(TEXT, stream("cp1252")).startswith(r"3 × 3 … a—b >= 1 -> \u03b8")
    assert shown("猫 × می\u200cخ", stream("utf-8")) == "猫 × می\u200cخ"
    assert shown("two\nlines", None) == "two\nlines"
    assert shown("two\nlines", None, lines=False) == r"two\nlines"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_programs_read_the_same_from_json(encoding):
    document = {"names": [TEXT, "\x7f\x85\u2028\u2066", "👩\u200d🔬", "\\u202e"], TEXT: 1}
    text = json_text(document, encoding)
    text.encode(encoding)
    assert json.loads(text) == document
    assert not any(c in text for c in "\u202e\x1b\x7f\x85\udcff")
    assert ("👩\u200d🔬" in text) is (encoding == "utf-8")
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text(float("nan"))


def test_what_other_libraries_print(monkeypatch):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, stream("ascii"))
    with printing_everything(), warnings.catch_warnings():
        warnings.simplefilter("always")
        print("3 × 3")
        warnings.warn("a\x1b[2J folder", FolderWarning, stacklevel=1)
        warnings.warn("odd \x1b[2J – value", UserWarning, stacklevel=1)
    assert written(sys.stdout) == "3 x 3\n"
    note, *other = written(sys.stderr).splitlines()
    assert note == r"note: a\x1b[2J folder"
    assert r"UserWarning: odd \x1b[2J - value" in other[0]
    assert sys.stdout.errors == "strict"
    assert warnings.showwarning.__name__ != "_show_warning"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_tables_and_bars_on_a_terminal(encoding):
    """A terminal receives the escape sequences of rich, and none from a text."""
    terminal = Terminal(stream(encoding), force_terminal=True, width=60)
    terminal.print(Text("note: \x1b]0;title\x07", style="yellow"))
    table = Table()
    table.add_column(Text("class \u202e"))
    table.add_row(Text("\x9b31m×≥"))
    terminal.print(table)
    with Progress(TextColumn("{task.description}"), console=terminal) as bar:
        bar.add_task("projecting \x1b[2J\u2067 ≥")
    text = written(terminal.file)
    assert "\x1b[33m" in text
    assert "\x1b]0" not in text
    assert "\x1b[2J" not in text
    assert not any(c in text for c in "\x07\x9b\u202e\u2067")
    assert r"projecting \x1b[" in text  # rich cuts a text that became wider than it had measured
