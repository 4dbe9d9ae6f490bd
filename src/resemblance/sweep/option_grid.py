"""The combinations of the values of some options."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import product

from resemblance.config.errors import UserError
from resemblance.config.values import near

FIXED = ("output", "seed", "resume", "json", "progress", "report")  # what a sweep sets itself
MOST = 1000  # combinations


def read_grid(words: Sequence[str], options: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Read ``OPTION=a,b,c`` words.

    Args:
        words: one for each option.
        options: the names of the options that there are.

    Returns:
        The values as texts, by the name of the option with underscores.

    Raises:
        UserError: for a word of another form, an unknown option, or one that is given twice.

    Example:
        >>> read_grid(["slots=3,5", "rate=0.1"], ["slots", "rate"])
        {'slots': ('3', '5'), 'rate': ('0.1',)}
        >>> read_grid(["slot=3,5"], ["slots", "rate"])
        Traceback (most recent call last):
        resemblance.config.errors.UserError: --over slot=3,5: there is no option 'slot'; did you mean 'slots'?
    """
    grid: dict[str, tuple[str, ...]] = {}
    for word in words:
        name, equals, values = word.partition("=")
        key = name.strip().removeprefix("--").replace("-", "_")
        texts = tuple(text.strip() for text in values.split(",") if text.strip())
        if not equals or not texts:
            raise UserError(f"--over {word}: expected OPTION=VALUE,VALUE,..., for instance slots=3,5,10")
        if key in FIXED:
            hint = " (see --seeds)" if key == "seed" else ""
            raise UserError(f"--over {word}: {name} cannot be varied here{hint}")
        if key not in options:
            raise UserError(f"--over {word}: there is no option {name!r}{near(key, sorted(options))}")
        if key in grid or len(set(texts)) < len(texts):
            raise UserError(f"--over {word}: an option or a value is given twice")
        grid[key] = texts
    if not grid:
        raise UserError("nothing is varied; add --over OPTION=VALUE,VALUE,...")
    return grid


def combinations(grid: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """Return all combinations, the last option varying fastest.

    Raises:
        UserError: if there are more than a thousand.

    Example:
        >>> combinations({"slots": ("3", "5"), "rate": ("0.1",)})
        [{'slots': '3', 'rate': '0.1'}, {'slots': '5', 'rate': '0.1'}]
    """
    points = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    if len(points) > MOST:
        raise UserError(f"these are {len(points)} combinations, more than {MOST}")
    return points


def folder_of(point: Mapping[str, str]) -> str:
    """Return the name of the folder of a combination.

    Example:
        >>> folder_of({"slots": "3", "augment": "flip+crop", "data": "mnist:/data/mnist"})
        'slots-3_augment-flip+crop_data-mnist-data-mnist'
    """
    parts = [f"{name.replace('_', '-')}-{value}" for name, value in point.items()]
    return "_".join(re.sub(r"[^\w.+-]+", "-", part).strip("-") for part in parts)


def numbers(values: Sequence[str]) -> list[float] | None:
    """Return texts as numbers; None if one of them is no number.

    Example:
        >>> numbers(["3", "0.5"]), numbers(["3", "auto"])
        ([3.0, 0.5], None)
    """
    try:
        return [float(value) for value in values]
    except ValueError:
        return None
