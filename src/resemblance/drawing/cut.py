"""Shorten figures with too many items: select the items to show, and note how many are left out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def more(count: int, one: str, many: str = "") -> list[str]:
    """Return the note about ``count`` items that are not shown; nothing if there are none.

    Example:
        >>> more(1, "class", "classes"), more(3, "concept"), more(0, "concept")
        (['1 more class not shown'], ['3 more concepts not shown'], [])
    """
    return [f"{count} more {one if count == 1 else many or one + 's'} not shown"] if count > 0 else []


def largest(values: Iterable[float], count: int) -> list[int]:
    """Return the indices of the ``count`` largest values, in ascending order.

    Example:
        >>> largest([0.5, 2.0, 1.0], 2)
        [1, 2]
    """
    order = np.argsort(-np.asarray(list(values), dtype=float), kind="stable")
    return sorted(order[:count].tolist())
