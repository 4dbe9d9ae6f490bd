"""Characters that forge or break what is printed: find them, and show them as escapes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029"  # C0, DEL, C1, and the separators of lines and paragraphs
_NOT_UTF8 = r"\ud800-\udfff"  # how Python holds the bytes of a file name that is not UTF-8
# They reorder the text around them. U+200C and U+200D do not, and Persian and Indic names need them.
_BIDI = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"

_CONTROL = re.compile(f"[{_CONTROLS}]")
_BREAKS_LINES = re.compile(f"[{_CONTROLS}{_NOT_UTF8}]")
_NOT_PRINTED = re.compile(f"[{_CONTROLS}{_NOT_UTF8}{_BIDI}]")
_NOT_PRINTED_IN_LINES = re.compile(f"(?!\n)[{_CONTROLS}{_NOT_UTF8}{_BIDI}]")
_LONGEST = 60  # characters of a text that a message repeats
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def printable(text: object, lines: bool = False) -> str:
    r"""Return a text in which nothing moves the cursor, ends the line or reorders other characters.

    Control characters, bidirectional overrides and isolates, and bytes of file names that are not UTF-8 become escapes.

    Args:
        text: the text, or a value whose text is meant.
        lines: whether the text may have several lines.

    Example:
        >>> print(printable("a\x1b[2J\n\u202eb"), printable(b"\xff.png".decode("utf-8", "surrogateescape")))
        a\x1b[2J\n\u202eb \udcff.png
    """
    pattern = _NOT_PRINTED_IN_LINES if lines else _NOT_PRINTED
    return pattern.sub(lambda match: repr(match[0])[1:-1], str(text))


def capitalised(text: str) -> str:
    """Return a text that begins with a capital letter; the others stay.

    Example:
        >>> capitalised("predicted USB"), capitalised("")
        ('Predicted USB', '')
    """
    return text[:1].upper() + text[1:]


def fits_a_line(text: str) -> bool:
    """Check that a name has neither control characters nor bytes that are not UTF-8."""
    return _BREAKS_LINES.search(text) is None


def find_control(document: Any) -> str | None:
    r"""Describe the first text with a control character in a document of JSON; None if there is none.

    Example:
        >>> print(find_control({"classes": ["cat", "dog\x07"]}))
        classes[1] has the control character '\x07': 'dog\x07'
    """
    for place, text in _texts(document):
        if match := _CONTROL.search(text):
            shown = printable(text[:_LONGEST]) + ("..." if len(text) > _LONGEST else "")
            return f"{printable(place)} has the control character '{printable(match[0])}': '{shown}'"
    return None


def without_controls(document: Any) -> Any:
    """Return a document of JSON in which the control characters of all texts are escaped.

    Example:
        >>> without_controls({"note": "two\\nlines", "numbers": (1, None)})
        {'note': 'two\\\\nlines', 'numbers': [1, None]}
    """
    if isinstance(document, str):
        return _CONTROL.sub(lambda match: printable(match[0]), document)
    if isinstance(document, dict):
        return {without_controls(key): without_controls(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [without_controls(value) for value in document]
    return document


def spreadsheet_cell(value: object) -> object:
    """Return a cell of a CSV file that a spreadsheet does not run: a text that looks like a formula gets an apostrophe.

    Example:
        >>> [spreadsheet_cell(value) for value in ("=1+1", "-1.5", -1.5, "joint")]
        ["'=1+1", "'-1.5", -1.5, 'joint']
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _texts(document: Any) -> Iterator[tuple[str, str]]:
    """Yield the place and the text of all keys and values; without recursion, since a foreign document may be deep."""
    todo: list[tuple[str, Any]] = [("", document)]
    while todo:
        place, value = todo.pop()
        if isinstance(value, str):
            yield place or "the document", value
        elif isinstance(value, dict):
            yield from ((f"a key of {place or 'the document'}", key) for key in value if isinstance(key, str))
            todo += [
                (f"{place}.{key}" if place else str(key), inner) for key, inner in reversed(value.items())
            ]
        elif isinstance(value, list | tuple):
            todo += [(f"{place}[{i}]", inner) for i, inner in reversed(list(enumerate(value)))]
