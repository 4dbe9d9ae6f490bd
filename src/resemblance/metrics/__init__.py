"""Metrics of models and of their explanations; names are imported when they are first used."""

from __future__ import annotations

from typing import Any

from resemblance.config.lazy import import_name

_HOMES = {
    "AccuracyGap": "metrics.paper.accuracy_gap",
    "AttributeCorrelationError": "metrics.paper.attribute_correlation",
    "AttributeCoverage": "metrics.paper.attribute_coverage",
    "AverageDrop": "metrics.paper.average_drop",
    "AverageIncrease": "metrics.paper.average_increase",
    "BrierScore": "metrics.paper.brier",
    "CalibrationError": "metrics.paper.calibration",
    "Diversity": "metrics.paper.diversity",
    "ExplanationDivergence": "metrics.paper.explanation_divergence",
    "Ghosting": "metrics.paper.ghosting",
    "Measure": "metrics.measure",
    "RelevanceOrdering": "metrics.paper.relevance_ordering",
    "radar_values": "metrics.paper.radar",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    return import_name(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
