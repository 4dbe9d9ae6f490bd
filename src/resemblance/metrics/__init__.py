"""Metrics of models and of their explanations; names are imported when they are first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resemblance.config.lazy import import_name

if TYPE_CHECKING:
    from resemblance.metrics.measure import Measure
    from resemblance.metrics.paper.accuracy_gap import AccuracyGap
    from resemblance.metrics.paper.agreement import Agreement
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
    from resemblance.metrics.paper.reconstruction import ReconstructionError
    from resemblance.metrics.paper.relevance_ordering import RelevanceOrdering
    from resemblance.metrics.since.comprehensiveness import Comprehensiveness
    from resemblance.metrics.since.consistency import Consistency
    from resemblance.metrics.since.distinctiveness import Distinctiveness
    from resemblance.metrics.since.max_sensitivity import MaximumSensitivity
    from resemblance.metrics.since.misalignment import Misalignment
    from resemblance.metrics.since.parameter_randomization import ParameterRandomization
    from resemblance.metrics.since.pointing_game import PointingGame
    from resemblance.metrics.since.purity import Purity
    from resemblance.metrics.since.relevance_mass import RelevanceMass
    from resemblance.metrics.since.stability import Stability
    from resemblance.metrics.since.summary import Summary

_HOMES = {
    "AccuracyGap": "metrics.paper.accuracy_gap",
    "Agreement": "metrics.paper.agreement",
    "AttributeCorrelationError": "metrics.paper.attribute_correlation",
    "AttributeCoverage": "metrics.paper.attribute_coverage",
    "AverageDrop": "metrics.paper.average_drop",
    "AverageIncrease": "metrics.paper.average_increase",
    "BrierScore": "metrics.paper.brier",
    "CalibrationError": "metrics.paper.calibration",
    "Comprehensiveness": "metrics.since.comprehensiveness",
    "Consistency": "metrics.since.consistency",
    "Distinctiveness": "metrics.since.distinctiveness",
    "Diversity": "metrics.paper.diversity",
    "ExplanationDivergence": "metrics.paper.explanation_divergence",
    "Ghosting": "metrics.paper.ghosting",
    "MaximumSensitivity": "metrics.since.max_sensitivity",
    "Measure": "metrics.measure",
    "Misalignment": "metrics.since.misalignment",
    "ParameterRandomization": "metrics.since.parameter_randomization",
    "PointingGame": "metrics.since.pointing_game",
    "Purity": "metrics.since.purity",
    "radar_values": "metrics.paper.radar",
    "ReconstructionError": "metrics.paper.reconstruction",
    "RelevanceMass": "metrics.since.relevance_mass",
    "RelevanceOrdering": "metrics.paper.relevance_ordering",
    "Stability": "metrics.since.stability",
    "Summary": "metrics.since.summary",
}

__all__ = [
    "AccuracyGap",
    "Agreement",
    "AttributeCorrelationError",
    "AttributeCoverage",
    "AverageDrop",
    "AverageIncrease",
    "BrierScore",
    "CalibrationError",
    "Comprehensiveness",
    "Consistency",
    "Distinctiveness",
    "Diversity",
    "ExplanationDivergence",
    "Ghosting",
    "MaximumSensitivity",
    "Measure",
    "Misalignment",
    "ParameterRandomization",
    "PointingGame",
    "Purity",
    "ReconstructionError",
    "RelevanceMass",
    "RelevanceOrdering",
    "Stability",
    "Summary",
    "radar_values",
]


def __getattr__(name: str) -> Any:
    return import_name(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
