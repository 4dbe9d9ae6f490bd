"""One sentence of the first screen of a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Level = Literal["plain", "good", "doubt"]


@dataclass(frozen=True)
class Statement:
    """An answer to a question that a reader comes with.

    Args:
        topic: the question, in a few words.
        text: the answer.
        level: ``doubt`` where the reader should be careful, ``good`` where a test says that all is well.
    """

    topic: str
    text: str
    level: Level = "plain"


def percent(share: float | None) -> str:
    """Return a share in per cent with one decimal; a dash if it is not known.

    Example:
        >>> percent(0.5).replace(chr(160), " "), percent(None)
        ('50.0 %', '–')
    """
    return "–" if share is None or np.isnan(share) else f"{100 * share:.1f}\N{NO-BREAK SPACE}%"
