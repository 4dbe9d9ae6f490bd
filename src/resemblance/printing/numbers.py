"""Write numbers for people."""

from __future__ import annotations


def share(value: float) -> str:
    """Return a share in per cent, with two decimals.

    Example:
        >>> share(0.98765)
        '98.77 %'
    """
    return f"{100 * value:.2f} %"
