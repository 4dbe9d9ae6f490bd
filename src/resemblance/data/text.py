"""Texts from outside, made fit for a message of one line."""

from __future__ import annotations

import unicodedata

# Unicode's control characters, halves of characters, separators of lines and of paragraphs.
UNFIT = {"Cc", "Cs", "Zl", "Zp"}


def fits_a_line(text: str) -> bool:
    """Whether a text can be printed on one line as it is."""
    return not any(unicodedata.category(character) in UNFIT for character in text)


def one_line(text: object, most: int | None = None) -> str:
    r"""A text with what would break the line escaped, and cut if it is longer than ``most``.

    Example:
        >>> print(one_line("two\nlines.png"), one_line(ValueError("x" * 9), 5))
        two\nlines.png xx...
    """
    shown = str(text)
    if not shown.isprintable():
        shown = "".join(c if fits_a_line(c) else repr(c)[1:-1] for c in shown)
    return shown if most is None or len(shown) <= most else shown[: most - 3] + "..."


def reason(error: Exception) -> str:
    """What an exception of some decoder says, for the brackets of a message."""
    if isinstance(error, OSError) and error.strerror:
        return one_line(error.strerror)
    return one_line(" ".join(str(error).split()) or type(error).__name__, 80)


def share(value: float) -> str:
    """Return a share in per cent, with two decimals.

    Example:
        >>> share(0.98765)
        '98.77 %'
    """
    return f"{100 * value:.2f} %"
