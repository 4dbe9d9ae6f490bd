"""The axes of the radar figure: every measure turned so that 1 is best."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

AXES: dict[str, Callable[[float], float]] = {
    "accuracy": lambda value: value,
    "average increase": lambda value: value,
    "average drop": lambda value: 1 - value,
    "ghosting": lambda value: 1 - value,
    "diversity": lambda value: 1 - value,
    "explanation divergence": lambda value: 1 / (1 + value),
}


def radar_values(measured: Mapping[str, float | None]) -> dict[str, float]:
    """Return the axes of the radar figure, each in [0, 1] and larger for a better model.

    Accuracy and AI as they are; 1 − x for AD, D_tsp and D_dvs; 1 / (1 + D) for D_fdl. The paper inverts axes without
    saying how.

    Args:
        measured: values by name: ``accuracy``, ``average drop``, ``average increase``, ``ghosting``,
            ``explanation divergence``, ``diversity``. Those that are missing, None or NaN have no axis, rather than a
            value of 0; other names are ignored.

    Source: Gautam et al. 2024 (KMEx), figure 4.

    Example:
        >>> radar_values({"accuracy": 0.9, "ghosting": 0.25, "explanation divergence": 1.0, "diversity": None})
        {'accuracy': 0.9, 'ghosting': 0.75, 'explanation divergence': 0.5}
    """
    values = {name: measured.get(name) for name in AXES}
    return {
        name: AXES[name](value)
        for name, value in values.items()
        if value is not None and not math.isnan(value)
    }
