"""Line charts: a few curves over the same axes, named at the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resemblance.drawing.style import FAINT, INK, MUTED, inches, new_figure, place, plain, write

# Okabe and Ito 2008: they can be told apart by colour-blind readers.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
MARGIN, PANEL, HIGH = 0.3, 3.4, 2.5  # inches


@dataclass(frozen=True)
class Line:
    """One curve of a chart.

    Args:
        label: its name; curves of the same name share one entry of the legend.
        x: positions.
        y: values.
        colour: the index of its colour.
        dashed: whether it is a baseline.
        markers: whether its points are marked.
        spread: deviations of the values, drawn as bars.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int = 0
    dashed: bool = False
    markers: bool = False
    spread: Sequence[float | None] | None = None


@dataclass(frozen=True)
class Panel:
    """One pair of axes with curves.

    Args:
        x_label: the name of the horizontal axis.
        y_label: the name of the vertical axis.
        lines: the curves.
        y_range: the lower and upper end of the vertical axis; by default those of the curves.
    """

    x_label: str
    y_label: str
    lines: Sequence[Line]
    y_range: tuple[float, float] | None = None


def line_chart(panels: Sequence[Panel], note: str = "") -> Figure:
    """Draw panels side by side, with one legend at the right and a note below.

    Example:
        >>> figure = line_chart([Panel("pixels", "probability", [Line("kmex", (0, 1), (0.1, 0.9))])])
        >>> [text.get_text() for text in figure.texts]
        ['kmex']
    """
    labels: dict[str, Line] = {}
    for panel in panels:
        for line in panel.lines:
            labels.setdefault(line.label, line)
    legend = 0.55 + max((inches(plain(label), 8.5) for label in labels), default=0.0)
    step = PANEL + 0.75
    width = max(MARGIN + 0.5 + len(panels) * step + legend, 2 * MARGIN + inches(note, 8))
    height = max(MARGIN + HIGH + 0.65, MARGIN + 0.25 * len(labels) + 0.2) + (0.3 if note else 0.0)
    figure = new_figure(width, height)
    for number, panel in enumerate(panels):
        axes = place(figure, MARGIN + 0.45 + number * step, MARGIN, PANEL, HIGH)
        _draw_panel(axes, panel)
    left = MARGIN + 0.45 + len(panels) * step - 0.4
    for number, (label, line) in enumerate(labels.items()):
        top = MARGIN + 0.25 * number
        sample = place(figure, left, top, 0.35, 0.16)
        sample.set_axis_off()
        _draw_line(sample, Line(label, (0, 1), (0.5, 0.5), line.colour, line.dashed, line.markers))
        sample.set_ylim(0, 1)
        write(figure, left + 0.45, top, plain(label), fontsize=8.5)
    if note:
        write(figure, MARGIN, height - 0.3, note, fontsize=8, color=MUTED)
    return figure


def _draw_panel(axes: Axes, panel: Panel) -> None:
    for line in panel.lines:
        _draw_line(axes, line)
    axes.set_xlabel(panel.x_label, fontsize=8.5, color=INK, parse_math=False)
    axes.set_ylabel(panel.y_label, fontsize=8.5, color=INK, parse_math=False)
    axes.tick_params(labelsize=8, color=MUTED, labelcolor=INK)
    axes.grid(color=FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED)
    if panel.y_range is not None:
        axes.set_ylim(*panel.y_range)


def _draw_line(axes: Axes, line: Line) -> None:
    colour = SERIES[line.colour % len(SERIES)]
    axes.plot(
        list(line.x),
        list(line.y),
        color=colour,
        linewidth=1.1 if line.dashed else 1.7,
        linestyle=(0, (4, 2)) if line.dashed else "-",
        marker=MARKERS[line.colour % len(MARKERS)] if line.markers else None,
        markersize=4.5,
    )
    if line.spread is not None:
        spread = [value or 0.0 for value in line.spread]
        axes.errorbar(
            list(line.x), list(line.y), yerr=spread, fmt="none", ecolor=colour, elinewidth=0.9, capsize=2
        )
