"""The one exception that is meant for the user's eyes."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can mend: one line that says what was wrong, what was expected, what to do.

    Example:
        >>> raise UserError("no such folder: 'pets'; did you mean 'pet'?")
        Traceback (most recent call last):
        ...
        resemblance.config.errors.UserError: no such folder: 'pets'; did you mean 'pet'?
    """
