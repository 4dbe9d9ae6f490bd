"""Print lines of text to a terminal, a pipe or a file, whatever its encoding and whatever the text.

All that the library prints passes here or through `Terminal`; a test says so.
"""

from __future__ import annotations

import codecs
import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import IO, Any

from resemblance.printing.characters import printable

LEGIBLE = "resemblance.legible"  # the name of the error handler, as of "replace" and "backslashreplace"
_ALIKE = {
    "×": "x",
    "…": "...",
    "—": "-",
    "–": "-",
    "−": "-",
    "≥": ">=",
    "≤": "<=",
    "→": "->",
    "←": "<-",
    "·": "-",
    "•": "*",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "²": "^2",
    "±": "+-",
    "≈": "~",
    "½": "1/2",
    "\N{NO-BREAK SPACE}": " ",
}


class FolderWarning(UserWarning):
    """A folder that was read has something that its user should know; the command line prints it as a note."""


def shown(text: object, stream: IO[str] | None, lines: bool = True) -> str:
    r"""Return a text as a stream can print it.

    Args:
        text: the text, or a value whose text is meant.
        stream: where it is printed; its encoding decides which characters are replaced.
        lines: whether the text may have several lines.

    Example:
        >>> import io
        >>> print(shown("3 × 3 … \x1b[2J Å", io.TextIOWrapper(io.BytesIO(), encoding="ascii")))
        3 x 3 ... \x1b[2J \xc5
    """
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return printable(text, lines).encode(encoding, LEGIBLE).decode(encoding)


def say(text: object = "", stream: IO[str] | None = None) -> None:
    r"""Print a text of one or several lines.

    Args:
        text: the text.
        stream: by default the standard output.

    Example:
        >>> say("the class \x1b[31mcat")
        the class \x1b[31mcat
    """
    stream = sys.stdout if stream is None else stream
    print(shown(text, stream), file=stream)


def json_text(document: Any, encoding: str = "utf-8") -> str:
    r"""Return JSON that changes no terminal and that an encoding can write; a program reads the same texts from it.

    Args:
        document: values that JSON can hold, without NaN.
        encoding: of the file or stream; if it is not UTF-8, all other characters than ASCII are escaped.

    Example:
        >>> print(json_text("\x7f \u202e Å"), json_text("\x7f Å", "cp1252"))
        "\u007f \u202e Å" "\u007f \u00c5"
    """
    is_utf8 = codecs.lookup(encoding).name == "utf-8"
    text = json.dumps(document, indent=2, ensure_ascii=not is_utf8, allow_nan=False)
    return "\n".join(
        "".join(map(_escaped, line)) if printable(line) != line else line for line in text.split("\n")
    )


@contextmanager
def printing_everything() -> Iterator[None]:
    """Let also what other libraries print, and warnings, reach the streams without errors and control characters."""
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, TextIOWrapper)]
    errors = [stream.errors for stream in streams]
    show_warning = warnings.showwarning
    for stream in streams:
        stream.reconfigure(errors=LEGIBLE)
    warnings.showwarning = _show_warning
    try:
        yield
    finally:
        warnings.showwarning = show_warning
        for stream, before in zip(streams, errors, strict=True):
            with suppress(OSError, ValueError):  # it was closed, or its reader has ended
                stream.reconfigure(errors=before)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: IO[str] | None = None,
    line: str | None = None,
) -> None:
    if issubclass(category, FolderWarning):
        say(f"note: {printable(message)}", sys.stderr)
    else:
        text = warnings.formatwarning(message, category, filename, lineno, line)
        say(text.rstrip("\n"), file or sys.stderr)


def _escaped(character: str) -> str:
    return character if printable(character) == character else f"\\u{ord(character):04x}"


def _legible(error: UnicodeError) -> tuple[str, int]:
    """Replace what an encoding lacks by what looks alike, else by an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_ALIKE.get(c) or c.encode("ascii", "backslashreplace").decode() for c in text), error.end


codecs.register_error(LEGIBLE, _legible)
