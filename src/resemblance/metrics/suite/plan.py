"""The plan of an evaluation: all measures by name, and which of them apply to a model."""

from __future__ import annotations

from collections.abc import Sequence

from resemblance.metrics.suite.measurement import Measurement
from resemblance.metrics.suite.measurements.measures_of_agreement import DivergenceMeasurement
from resemblance.metrics.suite.measurements.measures_of_attributes import AttributeMeasurement
from resemblance.metrics.suite.measurements.measures_of_maps import (
    AverageDropMeasurement,
    OrderingMeasurement,
)
from resemblance.metrics.suite.measurements.measures_of_prediction import Accuracy, Calibration
from resemblance.metrics.suite.measurements.measures_of_prototypes import (
    DiversityMeasurement,
    GhostingMeasurement,
)
from resemblance.metrics.suite.measurements.measures_of_regions import (
    ComprehensivenessMeasurement,
    ConsistencyMeasurement,
    PointingGameMeasurement,
    PurityMeasurement,
    RelevanceMassMeasurement,
    StabilityMeasurement,
)
from resemblance.metrics.suite.measurements.measures_of_robustness import (
    DistinctivenessMeasurement,
    MisalignmentMeasurement,
    RandomisationMeasurement,
    RobustAccuracyMeasurement,
    SensitivityMeasurement,
)
from resemblance.metrics.suite.result import LeftOut
from resemblance.metrics.suite.subject import Subject

MEASUREMENTS: dict[str, type[Measurement]] = {
    one.name: one
    for one in (
        Accuracy,
        Calibration,
        GhostingMeasurement,
        DiversityMeasurement,
        AverageDropMeasurement,
        OrderingMeasurement,
        DivergenceMeasurement,
        AttributeMeasurement,
        ConsistencyMeasurement,
        StabilityMeasurement,
        PurityMeasurement,
        DistinctivenessMeasurement,
        ComprehensivenessMeasurement,
        MisalignmentMeasurement,
        PointingGameMeasurement,
        RelevanceMassMeasurement,
        RandomisationMeasurement,
        SensitivityMeasurement,
        RobustAccuracyMeasurement,
    )
}


def planned(subject: Subject, names: Sequence[str]) -> tuple[list[Measurement], list[LeftOut]]:
    """Return the measurements of a model by the names of the measures, and those that do not apply, with the reason.

    Args:
        subject: the model, and all that the measures read.
        names: names of `config.evaluation.measure_names.MEASURES`.
    """
    measurements, left_out = [], []
    for name in names:
        kind = MEASUREMENTS[name]
        reason = kind.obstacle(subject)
        if reason is None:
            measurements.append(kind(subject))
        else:
            left_out.append(LeftOut(name, reason))
    return measurements, left_out
