"""Leave out of texts where files lie on the author's machine."""

from __future__ import annotations

import os
import re
from typing import Any

# A whole value: a path, or one after the kind of the data ("cub:/data/cub").
_PATH = re.compile(r"(?P<kind>(?:[\w-]{2,}:)?)(?:~?/(?!/)|[A-Za-z]:\\|\\\\)[^\n]*")
# The folders of a path inside a sentence, down to its last component; not those of an address (https://…).
_FOLDERS = re.compile(r"(?<![\w/\\.~])(?:[A-Za-z]:\\(?:[^\\\s]+\\)+|~?/(?!/)(?:[^/\s]+/)+)(?=[^/\\\s])")


def without_places(value: Any, *names: str) -> Any:
    """Return a value with the last component of each absolute path in its texts; dictionaries and lists are copied.

    Relative paths stay, because they say nothing about the machine.

    Args:
        value: a text, or texts in dictionaries and lists; anything else stays.
        names: names of data sets; files in their folders get their path from there, also with spaces in it.

    Example:
        >>> without_places({"data": "cub:/home/ann lee/birds", "notes": ["/mnt/x/a.png: skipped", "data/b.png"]})
        {'data': 'cub:birds', 'notes': ['a.png: skipped', 'data/b.png']}
        >>> without_places("left out: /home/ann lee/birds/3/a.png: damaged", "cub:/home/ann lee/birds")
        'left out: 3/a.png: damaged'
    """
    if isinstance(value, dict):
        return {name: without_places(item, *names) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_places(item, *names) for item in value]
    if not isinstance(value, str):
        return value
    for name in names:
        if (whole := _PATH.fullmatch(name)) is not None:
            root = name[len(whole["kind"]) :].rstrip("\\/")
            for place in (root, os.path.expanduser(root)):
                value = value.replace(f"{place}{os.sep}", "") if place else value
    return last_component(value)


def last_component(text: str) -> str:
    """Return a text with the last component of each absolute path in it.

    A text of one line that begins with a path is one path, with its spaces, unless a colon and a space follow.

    Example:
        >>> last_component("mnist:/data/mnist"), last_component(r"C:\\Users\\ann\\x.pth"), last_component("https://a.b/c/d")
        ('mnist:mnist', 'x.pth', 'https://a.b/c/d')
        >>> last_component("weights of /home/ann/best.pth, true/false and 3 / 4")
        'weights of best.pth, true/false and 3 / 4'
    """
    whole = _PATH.fullmatch(text)
    if whole is not None and ": " not in text:
        parts = re.split(r"[\\/]", text.rstrip("\\/")[len(whole["kind"]) :])
        return f"{whole['kind']}{parts[-1]}"
    return _FOLDERS.sub("", text)
