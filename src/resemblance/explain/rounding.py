"""Rounding a sum so that what is printed still adds up."""

from __future__ import annotations

import math
from collections.abc import Sequence


def decimals_for(values: Sequence[float]) -> int:
    """Decimals that show the largest value with four digits at least; three for values from 0.01 to 100.

    Example:
        >>> decimals_for([7.25, -0.5]), decimals_for([1234.5]), decimals_for([0.00012])
        (3, 1, 7)
    """
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    if largest == 0:
        return 3
    magnitude = math.floor(math.log10(largest))
    return max(0, 4 - max(magnitude, 1)) if magnitude >= -2 else 3 - magnitude


def add_up(
    values: Sequence[float], total: float, decimals: int, absorber: int | None = None
) -> tuple[list[float], float]:
    """Round the parts of a sum and the sum so that the rounded parts add up to the rounded sum.

    What rounding leaves over goes into one part that is a remainder itself, the ``absorber``. Without one,
    the parts that were rounded furthest the other way move by a unit of the last decimal, as seats are
    apportioned to votes; parts that needed no rounding stay.

    Args:
        values: the parts.
        total: their sum.
        decimals: of what is printed.
        absorber: the part that takes what is left over.

    Returns:
        The rounded parts and the rounded total; unmended where the parts do not make this total.

    Example:
        >>> add_up([1 / 3, 1 / 3, 1 / 3], 1.0, 2)
        ([0.34, 0.33, 0.33], 1.0)
        >>> add_up([1 / 3, 1 / 3, 1 / 3], 1.0, 2, absorber=2)
        ([0.33, 0.33, 0.34], 1.0)
    """
    if not all(math.isfinite(value) for value in (*values, total)):
        return list(values), total
    scale = 10**decimals
    units = [round(value * scale) for value in values]
    whole = round(total * scale)
    missing = whole - sum(units)
    if abs(missing) <= len(values):  # more than that is not rounding, and must show
        if absorber is not None:
            units[absorber] += missing
        else:
            step = 1 if missing > 0 else -1
            errors = [value * scale - unit for value, unit in zip(values, units, strict=True)]
            turn = sorted(range(len(values)), key=lambda i: (abs(errors[i]) < 1e-9, -step * errors[i], i))
            for index in turn[: abs(missing)]:
                units[index] += step
    return [unit / scale for unit in units], whole / scale


def signed(value: float, decimals: int) -> str:
    """A number with its sign, a real minus, and no sign for what prints as zero.

    Example:
        >>> signed(1.25, 1), signed(-0.5, 2), signed(-0.001, 1)
        ('+1.2', '−0.50', '0.0')
    """
    if not math.isfinite(value):
        return str(value)
    text = f"{abs(value):.{decimals}f}"
    if not float(text):
        return text
    return ("−" if value < 0 else "+") + text


def finite(value: float | None) -> float | None:
    """A number that JSON has a word for: a plain float, None for NaN and infinities."""
    return None if value is None or not math.isfinite(value) else float(value)
