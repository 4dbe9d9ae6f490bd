"""Read a JSON file that holds one object, and that anybody may have written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from resemblance.config.errors import UserError
from resemblance.printing.characters import find_control

LARGEST = 50_000_000  # bytes; in memory, lists need up to twenty times as much
DEEPEST = 100  # the largest number of nested lists and objects


def read_json(path: Path) -> dict[str, Any]:
    """Read the object in a JSON file.

    Args:
        path: the file.

    Raises:
        UserError: in one line, if it cannot be read or does not hold an object.

    Example:
        >>> read_json(Path("nothing.json"))
        Traceback (most recent call last):
        resemblance.config.errors.UserError: nothing.json cannot be read: No such file or directory
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    if len(content) > LARGEST:
        raise UserError(f"{path} is larger than {LARGEST // 1_000_000} MB and is not read")
    return parse_object(content, str(path))


def parse_object(content: bytes, place: str) -> dict[str, Any]:
    """Parse the object in the content of a JSON file.

    Args:
        content: the bytes of the file.
        place: the file, for messages.

    Raises:
        UserError: in one line, if they do not hold an object.
    """
    try:
        values = json.loads(content.decode("utf-8-sig"))
    except RecursionError:
        raise UserError(f"{place}: more than {DEEPEST} lists and objects are nested") from None
    except ValueError as error:  # of JSON, of UTF-8, or an integer of more than some thousand digits
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{place} cannot be read: it is not valid JSON ({reason})") from None
    if not isinstance(values, dict):
        raise UserError(f"{place} holds {type(values).__name__}, not an object with names and values")
    _check_depth(values, place)
    return values


def refuse_controls(document: Any, place: str) -> None:
    """Refuse a document from elsewhere with control characters in its texts.

    Raises:
        UserError: naming the place and the text.
    """
    if control := find_control(document):
        raise UserError(f"{place}: {control}; the folder is damaged or was made to deceive")


def _check_depth(values: Any, place: str) -> None:
    level = [values]
    for _ in range(DEEPEST):
        inner = [entry for item in level for entry in (item.values() if isinstance(item, dict) else item)]
        level = [entry for entry in inner if isinstance(entry, dict | list)]
        if not level:
            return
    raise UserError(f"{place}: more than {DEEPEST} lists and objects are nested")
