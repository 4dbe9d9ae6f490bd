"""Write numbers: parts of a sum that still add up when they are rounded, signed numbers, and percentages."""

from __future__ import annotations

import math
from collections.abc import Sequence

NO_BREAK = "\N{NO-BREAK SPACE}"


def decimals_for(values: Sequence[float]) -> int:
    """Return the number of decimals that shows at least four digits of the largest value; 3 from 0.01 to 100.

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
    """Round the parts of a sum, and the sum, so that the rounded parts add up to the rounded sum.

    The difference that rounding causes is added to one part, the ``absorber``. Without an absorber, the parts with the
    largest rounding errors in the other direction change by one unit of the last decimal, as in the apportionment of
    seats by largest remainder; parts that needed no rounding stay.

    Args:
        values: the parts.
        total: their sum.
        decimals: the number of decimals of the printed numbers.
        absorber: the index of the part to which the difference is added.

    Returns:
        The rounded parts and the rounded total; without correction if the parts do not add up to the total.

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
    if abs(missing) <= len(values):  # a larger difference is not due to rounding and must remain visible
        if absorber is not None:
            units[absorber] += missing
        else:
            step = 1 if missing > 0 else -1
            errors = [value * scale - unit for value, unit in zip(values, units, strict=True)]
            ranked = sorted(range(len(values)), key=lambda i: (abs(errors[i]) < 1e-9, -step * errors[i], i))
            for index in ranked[: abs(missing)]:
                units[index] += step
    return [unit / scale for unit in units], whole / scale


def signed(value: float, decimals: int) -> str:
    """Format a number with its sign (a typographic minus), but without a sign if it prints as zero.

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


def number_text(value: float, decimals: int = 3) -> str:
    """Format a number without a plus, and with a typographic minus, but without it if it prints as zero.

    Example:
        >>> number_text(1.25), number_text(-0.5, 2), number_text(-0.0001)
        ('1.250', '−0.50', '0.000')
    """
    return signed(value, decimals).removeprefix("+")


def percent(share: float) -> str:
    """Return a share as a percentage with a no-break space; "0 %" and "100 %" are exact.

    Example:
        >>> [percent(share).replace("\N{NO-BREAK SPACE}", " ") for share in (0.5, 0.9999, 0.0002, 1.0)]
        ['50 %', '> 99.9 %', '< 0.1 %', '100 %']
    """
    if share in (0.0, 1.0):
        text = f"{100 * share:.0f}"
    elif 0 < share < 0.001:
        text = "< 0.1"
    elif 0.999 < share < 1:
        text = "> 99.9"
    else:
        text = f"{100 * share:.{1 if share > 0.99 or share < 0.01 else 0}f}"
    return text.replace(" ", NO_BREAK) + NO_BREAK + "%"


def finite(value: float | None) -> float | None:
    """Return a float that JSON can hold; None for NaN and infinities."""
    return None if value is None or not math.isfinite(value) else float(value)
