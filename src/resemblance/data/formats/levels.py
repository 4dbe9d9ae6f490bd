"""Map pixel values of any range to 8 bits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from resemblance.config.errors import UserError

BLOCK = 1 << 20  # pixels that are converted at once
Window = tuple[float, float]  # the values that become black and white


class ValueRange(NamedTuple):
    """The values of an image of more than 8 bits, as its file stores them.

    Args:
        low: the smallest value.
        high: the largest value.
        black: the value that became black.
        white: the value that became white.
        own: whether the file itself names the values of black and white, as DICOM files do.
    """

    low: float
    high: float
    black: float
    white: float
    own: bool = False


class UnknownRange(UserError):
    """Pixels whose values of black and white are unknown, so that ``--window`` has to name them.

    Args:
        fact: what was found, for instance "a.tif: signed 16-bit pixels".
        kind: the kind of pixels.
        low: the smallest value.
        high: the largest value.
    """

    def __init__(self, fact: str, kind: str, low: float, high: float) -> None:
        self.kind, self.low, self.high = kind, low, high
        self.fact = f"{fact} from {low:g} to {high:g}, and nothing says which values are black and white"
        window = f"{low:g},{high:g}" if low < high else "LOW,HIGH"
        super().__init__(f"{self.fact}; name them, for instance --window {window}")

    def for_a_model(self) -> UserError:
        """Return the error for a model that was trained without a window, where ``--window`` is no cure."""
        return UserError(
            f"{self.fact}; this model was trained without --window: save the images as those that it was trained on"
        )


def eight_bits(values: NDArray[Any], white: float, black: float = 0.0) -> NDArray[np.uint8]:
    """Scale values (H, W, ...) from ``black`` to ``white`` to 0 to 255; others become 0 or 255, and NaN 0.

    It works in blocks of rows, because float64 needs 8 times the memory.

    Example:
        >>> eight_bits(np.array([[-1100, -1000, 0, 1000, 3000]]), 1000, -1000).tolist()
        [[0, 0, 128, 255, 255]]
    """
    scaled = np.empty(values.shape, np.uint8)
    rows = max(1, BLOCK // max(values.shape[1], 1))
    factor = 255 / (white - black)
    for start in range(0, len(values), rows):
        block = values[start : start + rows].astype(np.float64)
        levels = ((block - black) * factor).round().clip(0, 255)
        scaled[start : start + rows] = np.nan_to_num(levels) if values.dtype.kind == "f" else levels
    return scaled


def extremes(values: NDArray[Any]) -> tuple[float, float]:
    """Return the smallest and the largest finite value; (0, 0) if there is none."""
    if values.dtype.kind != "f":
        return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    finite = np.isfinite(values)
    if not finite.any():
        return 0.0, 0.0
    low, high = values.min(where=finite, initial=np.inf), values.max(where=finite, initial=-np.inf)
    return float(low), float(high)
