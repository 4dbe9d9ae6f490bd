"""Find what a folder says about its licence, in a file of its own, in its README.md or in its config.json."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resemblance.printing.characters import printable
from resemblance.runs.inspection.model_files import leads_out
from resemblance.store import ALLOWED, CONFIG, README

_FIELD = re.compile(r"^licen[cs]e(?:_name)?\s*:\s*(.+)$", re.IGNORECASE | re.MULTILINE)
_CARD = re.compile(r"\A\ufeff?---\s*\n(.*?)\n---\s*$", re.DOTALL | re.MULTILINE)  # the fields of a model card
_READ = 20_000  # bytes
_LONGEST = 100  # characters


def find_licences(folders: Sequence[Path], description: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return each statement of a licence, as the file and what it says.

    Args:
        folders: the folders that are searched, without those in them.
        description: the entries of config.json.

    Returns:
        Dictionaries with ``file`` and ``says``: the first line of a licence file, the field ``license`` of a model
        card, or an entry of config.json. Nothing is judged; what the statement covers, its author knows.
    """
    licences = []
    for folder in folders:
        for name in ALLOWED:
            path = folder / name
            if not path.is_file() or leads_out(folder, path):
                continue
            with path.open("rb") as file:
                text = file.read(_READ).decode("utf-8", "replace")
            if name != README:
                lines = [line.strip() for line in text.splitlines() if line.strip()]
                licences.append((name, lines[0] if lines else "an empty file"))
            elif card := _CARD.match(text):
                licences += [(name, match[1].strip(" '\"")) for match in _FIELD.finditer(card[1])]
    facts = description.get("facts")
    for place in (description, facts if isinstance(facts, dict) else {}):
        for key in ("license", "licence"):
            if isinstance(place.get(key), str) and place[key]:
                licences.append((CONFIG, place[key]))
    return [{"file": file, "says": printable(says)[:_LONGEST]} for file, says in licences]
