"""Receive the lines about the progress of a run; by default they are not printed."""

from __future__ import annotations

import sys

from resemblance.printing.lines import say


class Messages:
    """Receives the lines of a run; this class ignores them.

    Example:
        >>> Messages().say("training")
    """

    def say(self, text: str = "") -> None:
        """Receive a line for people."""

    def warn(self, text: str) -> None:
        """Receive a line that should not be overlooked."""


class PrintedMessages(Messages):
    """Prints the lines, with warnings on the error stream.

    Example:
        >>> PrintedMessages().say("training")
        training
    """

    def say(self, text: str = "") -> None:
        """Print a line."""
        say(text)

    def warn(self, text: str) -> None:
        """Print a line on the error stream."""
        say(f"note: {text}", sys.stderr)


def messages_for(progress: bool) -> Messages:
    """Return messages that are printed if ``progress``, and else ignored."""
    return PrintedMessages() if progress else Messages()
