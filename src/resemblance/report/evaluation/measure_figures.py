"""The figures of an evaluation that show numbers: curves, the radar, attributes against prototypes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from resemblance.drawing.attribute_figure import AttributePoint, attribute_figure
from resemblance.drawing.line_chart import Line, Panel, line_chart
from resemblance.drawing.radar_chart import radar_chart
from resemblance.metrics.paper.radar import radar_values
from resemblance.metrics.suite.aggregate import Group, find_curves, find_value
from resemblance.metrics.suite.result import finite

# Axis of the radar → where its number is, and how the axis is named.
RADAR = {
    "accuracy": ("accuracy", "accuracy", "accuracy"),
    "average increase": ("average-drop", "average_increase", "average increase"),
    "average drop": ("average-drop", "average_drop", "1 − average drop"),
    "ghosting": ("ghosting", "ghosting", "1 − ghosting"),
    "diversity": ("diversity", "diversity", "1 − D_dvs (diversity)"),
    "explanation divergence": ("divergence", "divergence", "1 / (1 + divergence)"),
}
RADAR_NOTES = (
    "Every axis is turned so that the outer edge, 1, is best. An axis on which a model has no value is left out:",
    "no line leads there. The area has no meaning of its own: it depends on the order of the axes.",
)
LEAST_AXES = 3


def ordering_figure(groups: Sequence[Group]) -> Figure | None:
    """Draw the curves of relevance ordering, dashed in random order; None if they were not measured.

    Runs that differ in their seed alone are averaged.
    """
    lines: list[Line] = []
    for number, group in enumerate(groups):
        curves = [find_curves(run, "relevance-ordering") for run in group.runs]
        curves = [found for found in curves if found]
        if not curves:
            continue
        for position, example in enumerate(curves[0]):
            mean = np.mean([found[position].y for found in curves], axis=0)
            label = group.label if not example.baseline else f"{group.label}, random order"
            lines.append(Line(label, example.x, mean.tolist(), number, example.baseline))
    if not lines:
        return None
    panel = Panel(
        "share of the pixels that are shown", "probability of the predicted class", lines, (0, 1.02)
    )
    return line_chart(
        [panel], "The faster a curve rises above its dashed one, the better the map marks what decides."
    )


def radar_figure(groups: Sequence[Group]) -> Figure | None:
    """Draw the radar of the paper's measures; None if fewer than three of them were measured.

    Conversions that stand beside a model have few of the axes and are left out.
    """
    series: dict[str, dict[str, float]] = {}
    for group in groups:
        if group.runs[0].of is not None:
            continue
        measured = {}
        for axis, (measure, name, _) in RADAR.items():
            measured[axis] = group.summary(measure, name).mean
        values = radar_values(measured)
        series[group.label] = {RADAR[axis][2]: value for axis, value in values.items()}
    axes = [title for _, _, title in RADAR.values() if any(title in values for values in series.values())]
    if len(axes) < LEAST_AXES:
        return None
    return radar_chart(series, axes, RADAR_NOTES)


def attributes_figure(groups: Sequence[Group]) -> Figure | None:
    """Draw coverage, correlation error and ghosted prototypes against the prototypes that were trained (Figure 5).

    None if they were not measured. Every run is a model of its own; runs of one method are joined, seeds averaged.
    """
    points = []
    total = None
    for group in groups:
        for run in group.runs:
            numbers = {
                name: find_value(run, "attributes", f"attribute_{name}")
                for name in ("coverage", "correlation_error", "ghosted")
            }
            if run.trained is None or numbers["coverage"] is None:
                continue
            values = {name: None if value is None else finite(value.value) for name, value in numbers.items()}
            name = group.label.partition(",")[0]
            points.append(
                AttributePoint(
                    name, run.trained, values["ghosted"], values["coverage"], values["correlation_error"]
                )
            )
            result = next(result for result in run.result.results if result.measure == "attributes")
            total = result.details["attributes"]
    return attribute_figure(points, total) if points else None
