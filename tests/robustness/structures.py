"""Change the structure of JSON and YAML documents: other types, other sizes, missing and moved values."""

from __future__ import annotations

import copy
import json
import math
from random import Random
from typing import Any

# Values that a JSON writer cannot write; `json_text` puts the text in their place.
TEXTS = {
    "@deep": "[" * 100_000 + "]" * 100_000,
    "@deep mapping": '{"a":' * 3_000 + "1" + "}" * 3_000,
    "@digits": "9" * 5_000,
    "@exponent": "1e999",
    "@minus": "-0",
}
NUMBERS = (0, 1, -1, 2, 3, 7, 100, 2**15, 2**31 - 1, 2**31, 2**53 + 1, 2**63, 2**64, 10**30, 10**400)
NUMBERS += (0.5, -0.0, 1e-320, 1e308, math.nan, math.inf, -math.inf)
WORDS = (
    "",
    "a",
    "0",
    "none",
    "null",
    "\n",
    "\x00",
    "\x1b[31m",
    "\u202e",
    "\ud800",
    "x" * 100_000,
    "../../up",
    "/etc",
)
WORDS += (
    "trap:run",
    "trap",
    "owner/name",
    "os:system",
    "torch.nn:Linear",
    "pretrained",
    "small",
    "C:\\x",
    "~",
    "{}",
)
STRANGE = (
    None,
    True,
    False,
    [],
    {},
    [[]],
    [None],
    {"": None},
    [0] * 10_000,
    ["a", 1],
    {"a": {"b": []}},
    *TEXTS,
)


def mutate(rng: Random, tree: Any) -> Any:
    """Return a copy of a document with one to three random changes.

    Args:
        rng: the source of all choices.
        tree: lists, dictionaries, text, numbers, true, false and None.
    """
    box = {"root": copy.deepcopy(tree)}
    for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
        holders = list(_holders(box))
        if not holders:  # the document itself has been removed
            break
        holder = rng.choice(holders)
        # Long lists, such as the prototypes of a gallery, must not hide the few values beside them.
        if rng.random() < 0.4:
            holder = rng.choice(holders[: 1 + len(holders) // 4])
        _change(rng, holder, rng.choice(holders))
    return box.get("root")


def json_text(tree: Any) -> str:
    """Write a document as JSON, with the texts that a JSON writer would not write."""
    text = json.dumps(tree)
    for name, replacement in TEXTS.items():
        text = text.replace(json.dumps(name), replacement)
    return text


def _holders(value: Any) -> Any:
    """Yield all lists and dictionaries that hold something."""
    if isinstance(value, dict | list) and value:
        yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from _holders(item)


def _change(rng: Random, holder: Any, other: Any) -> None:
    key = rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
    value, what = holder[key], rng.random()
    if what < 0.15:
        del holder[key]
    elif what < 0.4:
        holder[key] = strange(rng)
    elif what < 0.6:
        holder[key] = _like(rng, value)
    elif what < 0.7:
        holder[key] = copy.deepcopy(rng.choice(list(other.values()) if isinstance(other, dict) else other))
    elif what < 0.8:
        holder[key] = [value] if rng.random() < 0.5 else {"a": value}
    elif isinstance(holder, dict):
        holder[rng.choice((f"{key}x", rng.choice(WORDS), str(key).upper()))] = value
        if rng.random() < 0.5:
            holder.pop(key, None)
    elif what < 0.9:
        holder.insert(key, copy.deepcopy(value))
    else:
        rng.shuffle(holder)


def strange(rng: Random) -> Any:
    """Return a value of any type that nobody expects."""
    return copy.deepcopy(rng.choice(rng.choice((NUMBERS, WORDS, STRANGE))))


def _like(rng: Random, value: Any) -> Any:
    """Return another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice((value + 1, value - 1, -value, value * 1000, rng.choice(NUMBERS)))
    if isinstance(value, float):
        return rng.choice((-value, value * 1e6, value * 1e-6, rng.choice(NUMBERS)))
    if isinstance(value, str):
        return rng.choice((value + rng.choice(WORDS), value[:-1], value.upper(), rng.choice(WORDS)))
    if isinstance(value, list):
        return rng.choice((value[:-1], value * 2, value[::-1], value * 50))
    return {} if isinstance(value, dict) else strange(rng)
