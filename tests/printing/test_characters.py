"""Which characters are shown as escapes, which are refused, and which pass."""

from __future__ import annotations

import csv
import io
import unicodedata

import pytest

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.printing.characters import (
    find_control,
    fits_a_line,
    printable,
    spreadsheet_cell,
    without_controls,
)

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
PERSIAN, INDIC = "می\u200cخ", "क्\u200dष"


def test_characters_of_unicode():
    """Compare with the categories of Unicode, character by character."""
    for code in (*range(0x20000), *range(0xE0000, 0xE0200)):
        character = chr(code)
        breaks = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        assert fits_a_line(character) is not breaks
        assert (printable(character) != character) is (breaks or character in BIDI)


@pytest.mark.parametrize("text", [PERSIAN, INDIC, "naïve ×≥…", "a\\b", "👩\u200d🔬"])
def test_names_of_all_scripts_pass(text):
    assert printable(text) == text
    assert find_control([text]) is None


def test_escapes_are_those_of_python():
    assert printable("\x00\x1b\x7f\x9b\r\n\t\u202e\udcff") == r"\x00\x1b\x7f\x9b\r\n\t\u202e\udcff"
    assert printable("a\nb\r\n\u2028", lines=True) == "a\nb\\r\n\\u2028"
    assert printable(3) == "3"


def test_errors_are_one_line():
    assert str(UserError("no such file: a\x1b[2J\n\u202eb")) == r"no such file: a\x1b[2J\n\u202eb"


@pytest.mark.parametrize("name", ["a\x07", "a\nb", "\x7f", "\x9b1m", "\udcff", "\u2028"])
def test_names_of_classes_fit_a_line(name):
    image = ImageSpec(8, 8, 1, (0.5,), (0.5,))
    with pytest.raises(UserError, match="class 1"):
        ModelSpec(("cat", name), image)
    assert ModelSpec((PERSIAN, "\u202edog"), image).num_classes == 2


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ("\x1b", "the document has the control character '\\x1b': '\\x1b'"),
        ({"a": [1, {"b": ["c", "\n"]}]}, "a[1].b[1] has the control character '\\n'"),
        ({"a": {"\x85": 1}}, "a key of a has the control character '\\x85'"),
        ({"\n": {"b": "\x07"}}, "a key of the document has the control character '\\n'"),
        ([["x" * 200 + "\x07"]], "[0][0] has the control character '\\x07': '" + 60 * "x" + "...'"),
    ],
)
def test_the_place_of_a_control_character(document, place):
    assert find_control(document).startswith(place)
    assert find_control(without_controls(document)) is None


def test_what_passes_and_deep_documents():
    assert find_control({"a": [1, None, 2.5, True, "\udcff\u202e"], "b": {}}) is None
    deep: list = []
    for _ in range(10_000):
        deep = [deep]
    assert find_control(deep) is None


def test_no_cell_of_a_csv_file_is_a_formula():
    cells = ["=1", "+1", "-1", "@a", "\ta", "\ra", "a=1", "", -1.0, 0]
    file = io.StringIO()
    csv.writer(file).writerow(map(spreadsheet_cell, cells))
    [row] = csv.reader(io.StringIO(file.getvalue(), newline=""))
    assert row == ["'=1", "'+1", "'-1", "'@a", "'\ta", "'\ra", "a=1", "", "-1.0", "0"]
