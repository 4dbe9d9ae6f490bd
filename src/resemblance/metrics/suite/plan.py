"""All measures by name."""

from __future__ import annotations

from resemblance.metrics.suite.measurement import Measurement
from resemblance.metrics.suite.measurements.measures_of_agreement import DivergenceMeasurement
from resemblance.metrics.suite.measurements.measures_of_attributes import AttributeMeasurement
from resemblance.metrics.suite.measurements.measures_of_decoding import ReconstructionMeasurement
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
        ReconstructionMeasurement,
    )
}
