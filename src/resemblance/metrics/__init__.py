"""Metrics of models and of their explanations; names are imported when they are first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resemblance.config.lazy import import_name

if TYPE_CHECKING:
    from resemblance.metrics.measure import Measure
    from resemblance.metrics.paper.accuracy_gap import AccuracyGap
    from resemblance.metrics.paper.attribute_correlation import AttributeCorrelationError
    from resemblance.metrics.paper.attribute_coverage import AttributeCoverage
    from resemblance.metrics.paper.average_drop import AverageDrop
    from resemblance.metrics.paper.average_increase import AverageIncrease
    from resemblance.metrics.paper.brier import BrierScore
    from resemblance.metrics.paper.calibration import CalibrationError
    from resemblance.metrics.paper.diversity import Diversity
    from resemblance.metrics.paper.explanation_divergence import ExplanationDivergence
    from resemblance.metrics.paper.ghosting import Ghosting
    from resemblance.metrics.paper.radar import radar_values
    from resemblance.metrics.paper.relevance_ordering import RelevanceOrdering

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

__all__ = [
    "AccuracyGap",
    "AttributeCorrelationError",
    "AttributeCoverage",
    "AverageDrop",
    "AverageIncrease",
    "BrierScore",
    "CalibrationError",
    "Diversity",
    "ExplanationDivergence",
    "Ghosting",
    "Measure",
    "RelevanceOrdering",
    "radar_values",
]


def __getattr__(name: str) -> Any:
    return import_name(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
