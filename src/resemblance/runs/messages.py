"""What a run says while it works: nothing, unless somebody listens."""

from __future__ import annotations

import sys


class Messages:
    """Hears the lines of a run; this one keeps them to itself.

    Example:
        >>> Messages().say("training")
    """

    def say(self, text: str = "") -> None:
        """Take a line for people."""

    def warn(self, text: str) -> None:
        """Take a line that should not be overlooked."""


class Printed(Messages):
    """Prints the lines, warnings on the error stream.

    Example:
        >>> Printed().say("training")
        training
    """

    def say(self, text: str = "") -> None:
        """Print a line."""
        print(text)

    def warn(self, text: str) -> None:
        """Print a line on the error stream."""
        print(f"note: {text}", file=sys.stderr)


def messages_for(progress: bool) -> Messages:
    """Return what prints the lines of a run that is to show its progress, or else keeps them to itself."""
    return Printed() if progress else Messages()
