"""The exception whose text is shown to the user."""

from __future__ import annotations

from resemblance.printing.characters import printable


class UserError(Exception):
    """A mistake that the user can correct; its text is one line: what is wrong, what was expected, what to do.

    Example:
        >>> raise UserError("no such folder: 'pets'; did you mean 'pet'?")
        Traceback (most recent call last):
        ...
        resemblance.config.errors.UserError: no such folder: 'pets'; did you mean 'pet'?
    """

    def __str__(self) -> str:
        """Return the text in one line, although names in it may come from foreign files."""
        return printable(super().__str__())
