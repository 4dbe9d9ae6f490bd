"""Print the output of a command: text and tables for people, or one JSON document for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO

from rich.table import Table
from rich.text import Text

from resemblance.printing.characters import printable
from resemblance.printing.lines import json_text, say, shown
from resemblance.printing.terminal import Terminal
from resemblance.runs.messages import Messages


class Screen(Messages):
    """The output of a command.

    Args:
        result: the stream of the JSON document; None to print only for people.
    """

    def __init__(self, result: TextIO | None = None) -> None:
        self._result = result
        self.console = Terminal(sys.stdout)

    def say(self, text: str = "") -> None:
        """Print a line for people."""
        say(text, self.console.file)

    def warn(self, text: str) -> None:
        """Print a line that should not be overlooked, on the error stream."""
        Terminal().print(Text(f"note: {printable(text)}", style="yellow"), soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None = None) -> None:
        """Print a table with right-aligned numbers; plain columns if the output is not a terminal."""
        columns = [self._cell(name) for name in columns]
        cells = [["" if value is None else self._cell(value) for value in row] for row in rows]
        numeric = [all(_is_number(row[i]) for row in cells) for i in range(len(columns))]
        if title:
            self.say(title)
        if self.console.is_terminal:
            table = Table(show_edge=False, pad_edge=False)
            for name, is_number in zip(columns, numeric, strict=True):
                table.add_column(Text(name), justify="right" if is_number else "left", overflow="fold")
            for row in cells:
                table.add_row(*(Text(value) for value in row))
            self.console.print(table, soft_wrap=True)
            return
        lines = [list(columns), *cells]
        widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
        for line in lines:
            parts = [
                text.rjust(width) if is_number else text.ljust(width)
                for text, width, is_number in zip(line, widths, numeric, strict=True)
            ]
            self.say("  ".join(parts).rstrip())

    def result(self, document: Any) -> None:
        """Print the command's result as JSON, if programs read the output; else print nothing."""
        if self._result is not None:
            self._result.write(json_text(document, self._result.encoding or "utf-8") + "\n")
            self._result.flush()

    def _cell(self, value: object) -> str:
        """Return the text of a cell as it is printed, so that the width of its column is the right one."""
        return shown(value, self.console.file, lines=False)


@contextmanager
def screen(as_json: bool) -> Iterator[Screen]:
    """Yield a screen; with ``as_json``, everything but the result is printed on the error stream.

    Example:
        >>> with screen(as_json=True) as out:
        ...     print("not here")
        ...     out.result({"accuracy": 0.9})
        {
          "accuracy": 0.9
        }
    """
    if not as_json:
        yield Screen()
        return
    stdout = sys.stdout
    with redirect_stdout(sys.stderr):
        yield Screen(stdout)


def _is_number(text: str) -> bool:
    return not text or text.lstrip("+-−<>~ ").replace(".", "").replace(",", "").rstrip(" %").isdigit()
