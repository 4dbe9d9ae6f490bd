"""The exception whose text is shown to the user."""

from __future__ import annotations


class UserError(Exception):
    """A mistake that the user can correct; its text is one line: what is wrong, what was expected, what to do.

    Example:
        >>> raise UserError("no such folder: 'pets'; did you mean 'pet'?")
        Traceback (most recent call last):
        ...
        resemblance.config.errors.UserError: no such folder: 'pets'; did you mean 'pet'?
    """
