"""Radar charts: several values per model on axes around a centre, all turned so that the outer edge is best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resemblance.drawing.line_chart import SERIES
from resemblance.drawing.style import FAINT, INK, MUTED, inches, new_figure, place, plain, write

MARGIN, SIDE = 0.3, 5.4  # inches
RINGS = (0.25, 0.5, 0.75, 1.0)
OUTSIDE = 1.85  # of the radius, with the names of the axes
HIGH = 0.72  # height of the chart, as a share of its width


def radar_chart(
    series: Mapping[str, Mapping[str, float]], axes: Sequence[str], notes: Sequence[str] = ()
) -> Figure:
    """Draw the values of models on common axes.

    Args:
        series: name of the model → name of the axis → value in [0, 1]; a model lacks the axes that are missing: no line
            leads there.
        axes: the axes, clockwise from the top.
        notes: lines below.

    Example:
        >>> figure = radar_chart({"kmex": {"accuracy": 0.9, "diversity": 0.6}}, ["accuracy", "ghosting", "diversity"])
        >>> len(figure.axes[0].lines) > 0
        True
    """
    legend = 0.45 + max((inches(plain(name), 9) for name in series), default=0.0)
    below = 0.2 * len(notes) + (0.15 if notes else 0.0)
    width = max(
        2 * MARGIN + SIDE + legend, 2 * MARGIN + max((inches(note, 8) for note in notes), default=0.0)
    )
    height = 2 * MARGIN + SIDE * HIGH + below
    figure = new_figure(width, height)
    chart = place(figure, MARGIN, MARGIN, SIDE, SIDE * HIGH)
    chart.set_xlim(-OUTSIDE, OUTSIDE)
    chart.set_ylim(-OUTSIDE * HIGH, OUTSIDE * HIGH)
    chart.set_axis_off()
    _draw_web(chart, axes)
    for number, (name, values) in enumerate(series.items()):
        # Beyond the last colour they begin again, dashed.
        colour, dashed = SERIES[number % len(SERIES)], number >= len(SERIES)
        line = (0, (4, 2)) if dashed else "solid"
        _draw_series(chart, [values.get(axis) for axis in axes], colour, line)
        top = MARGIN + 0.1 + 0.24 * number
        swatch = place(figure, MARGIN + SIDE, top, 0.25, 0.14)
        swatch.set_axis_off()
        swatch.plot((0, 1), (0.5, 0.5), color=colour, linewidth=2, linestyle=line)
        write(figure, MARGIN + SIDE + 0.35, top - 0.01, plain(name), fontsize=9)
    for number, note in enumerate(notes):
        write(figure, MARGIN, height - MARGIN - below + 0.25 + 0.2 * number, note, fontsize=8, color=MUTED)
    return figure


def _point(number: int, count: int, value: float) -> tuple[float, float]:
    angle = math.pi / 2 - 2 * math.pi * number / count
    return value * math.cos(angle), value * math.sin(angle)


def _draw_web(chart: Axes, axes: Sequence[str]) -> None:
    count = len(axes)
    for ring in RINGS:
        points = [_point(number % count, count, ring) for number in range(count + 1)]
        chart.plot(*zip(*points, strict=True), color=FAINT, linewidth=1.0 if ring == 1 else 0.6)
        if ring in (0.5, 1.0):
            x, y = _point(0, count, ring)
            chart.text(x + 0.03, y, f"{ring:g}", fontsize=7, color=MUTED, va="bottom")
    for number, axis in enumerate(axes):
        x, y = _point(number, count, 1.0)
        chart.plot((0, x), (0, y), color=FAINT, linewidth=0.6)
        side = "center" if abs(x) < 0.1 else "left" if x > 0 else "right"
        vertical = "center" if abs(y) < 0.9 else "bottom" if y > 0 else "top"
        chart.text(
            *_point(number, count, 1.1),
            plain(axis),
            fontsize=8.5,
            color=INK,
            ha=side,
            va=vertical,
            parse_math=False,
        )


def _draw_series(chart: Axes, values: Sequence[float | None], colour: str, line: Any) -> None:
    count = len(values)
    points = [None if value is None else _point(number, count, value) for number, value in enumerate(values)]
    if all(point is not None for point in points):
        whole = [point for point in points if point is not None]
        chart.fill(*zip(*whole, strict=True), color=colour, alpha=0.08, linewidth=0)
    for first, second in zip(points, [*points[1:], *points[:1]], strict=True):
        if first is not None and second is not None:
            chart.plot(
                (first[0], second[0]), (first[1], second[1]), color=colour, linewidth=1.7, linestyle=line
            )
    for point in points:
        if point is not None:
            chart.plot(*point, color=colour, marker="o", markersize=4)
