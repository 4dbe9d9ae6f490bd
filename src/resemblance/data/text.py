"""Make text from files and users safe for messages of one line."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from resemblance.printing.characters import printable
from resemblance.printing.numbers import share as share


def one_line(text: object, most: int | None = None) -> str:
    r"""Escape characters that break the line or reorder it, and shorten the text if it is longer than ``most``.

    Example:
        >>> print(one_line("two\nlines.png"), one_line(ValueError("x" * 9), 5))
        two\nlines.png xx...
    """
    shown = printable(text)
    return shown if most is None or len(shown) <= most else shown[: most - 3] + "..."


def reason(error: Exception) -> str:
    """Return the message of an exception, shortened for use inside another message."""
    if isinstance(error, OSError) and error.strerror:
        return one_line(error.strerror)
    return one_line(" ".join(str(error).split()) or type(error).__name__, 80)


def listed(names: Sequence[str], most: int = 20) -> str:
    """Return the first ``most`` names for a note, and the number of the others.

    Example:
        >>> listed(["a", "b", "c"], 2)
        'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(one_line(name) for name in names[:most]) + more


def composed(name: str) -> str:
    """Return a name with composed accents, since file systems write the same name in two ways.

    Example:
        >>> len(composed("e\\u0301")), composed("plain")
        (1, 'plain')
    """
    return name if name.isascii() else unicodedata.normalize("NFC", name)
