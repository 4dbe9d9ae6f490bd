"""Coloured text, tables and progress bars on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from resemblance.printing.lines import shown


class Terminal(Console):
    r"""A console of rich that prints texts as they are: no markup, and no control characters but its own.

    Args:
        file: where it prints; by default the error stream.
        **options: further options of the console.

    Example:
        >>> import io
        >>> Terminal(io.StringIO()).file.write("")
        0
        >>> terminal = Terminal(io.StringIO())
        >>> terminal.print("[b]the class \x1b[31mcat")
        >>> print(terminal.file.getvalue().strip())
        [b]the class \x1b[31mcat
    """

    def __init__(self, file: IO[str] | None = None, **options: Any) -> None:
        plain: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False}
        super().__init__(file=file or sys.stderr, **(plain | options))

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render text, a table or a bar; its colours and the movements of the cursor are apart from the text."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(shown(segment.text, self.file), segment.style)
