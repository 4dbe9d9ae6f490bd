"""Draw what the prototypes capture of the data's attributes, against the number of prototypes that were trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from resemblance.drawing.style import INK, MUTED, new_figure, place, plain

MARKERS = "osD^vPX*"
PANEL, SIDE = 3.4, 2.1  # inches: the width of a panel with its labels, and the height of its axes
PANELS = (
    ("ghosted", "ghosted prototypes"),
    ("captured", "captured attributes"),
    ("error", "error of attribute correlations"),
)


@dataclass(frozen=True)
class AttributePoint:
    """The measures of one model.

    Args:
        model: its name in the legend; models of the same name and number of prototypes, with other seeds, are averaged.
        trained: the number of prototypes that it was trained with, the ghosted among them.
        ghosted: how many are never activated.
        captured: how many attributes the nearest training images have, together.
        error: mean absolute difference of the attributes' correlations. Each of the three is None if unknown.
    """

    model: str
    trained: int
    ghosted: float | None = None
    captured: float | None = None
    error: float | None = None


def attribute_figure(points: Sequence[AttributePoint], attributes: int | None = None) -> Figure:
    """Draw ghosted prototypes, captured attributes and correlation error against the number of trained prototypes.

    Each point is one model that was trained with that number of prototypes, or the mean of several with bars of one
    standard deviation; lines connect models of the same name. Panels without a value are left out.

    Args:
        points: the models.
        attributes: the number of attributes of the data, drawn as a line.

    Raises:
        ValueError: if there is no value at all.

    Source: Gautam et al. 2024 (KMEx), figure 5.

    Example:
        >>> figure = attribute_figure([AttributePoint("KMEx", 4, 0, 7), AttributePoint("KMEx", 8, 1, 9)], attributes=10)
        >>> [axes.get_ylabel() for axes in figure.axes]
        ['ghosted prototypes', 'captured attributes']
    """
    panels = [panel for panel in PANELS if any(_value(point, panel[0]) is not None for point in points)]
    if not panels:
        raise ValueError("no point has a value")
    models = list(dict.fromkeys(point.model for point in points))
    labels = [plain(model, 28) for model in models]
    rows = -(-len(models) // len(panels))
    figure = new_figure(len(panels) * PANEL + 0.2, SIDE + 1.0 + 0.2 * rows)
    ticks = sorted({point.trained for point in points})
    for number, (name, title) in enumerate(panels):
        axes = place(figure, number * PANEL + 0.75, 0.25, PANEL - 0.9, SIDE)
        for series, model in enumerate(models):
            _draw(axes, [point for point in points if point.model == model], name, series, labels[series])
        if name == "captured" and attributes is not None:
            axes.axhline(attributes, color=MUTED, linewidth=0.8, linestyle=":")
            axes.annotate(
                f"all {attributes}",
                (0.02, attributes),
                xycoords=("axes fraction", "data"),
                fontsize=7,
                color=MUTED,
                ha="left",
                va="bottom",
            )
        _finish(axes, title, ticks, whole=name != "error")
    handles, texts = figure.axes[0].get_legend_handles_labels()
    legend = figure.legend(
        handles, texts, loc="lower center", ncols=min(len(panels), len(models)), fontsize=8, frameon=False
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _value(point: AttributePoint, name: str) -> float | None:
    value = getattr(point, name)
    return None if value is None or np.isnan(value) else float(value)


def _draw(axes: Axes, points: Sequence[AttributePoint], name: str, series: int, label: str) -> None:
    """Draw the line of one name: the mean at each number of prototypes, with the deviation where there are several."""
    known = [(point.trained, value) for point in points if (value := _value(point, name)) is not None]
    trained = sorted({number for number, _ in known})
    groups = [[value for number, value in known if number == count] for count in trained]
    spread = [float(np.std(group)) for group in groups]
    axes.errorbar(
        trained,
        [float(np.mean(group)) for group in groups],
        yerr=spread if any(spread) else None,
        label=label,
        color=colormaps["tab10"](series % 10),
        marker=MARKERS[series % len(MARKERS)],
        markersize=4.5,
        linewidth=1.3,
        capsize=2,
        clip_on=False,  # a marker at 0 is whole
        zorder=3,
    )


def _finish(axes: Axes, title: str, ticks: Sequence[int], whole: bool) -> None:
    axes.set_xlabel("prototypes trained", fontsize=8, color=INK)
    axes.set_ylabel(title, fontsize=8, color=INK)
    top = max(1.0, axes.get_ylim()[1]) if whole else axes.get_ylim()[1]  # no fractions of what is counted
    axes.set_ylim(0, top)
    axes.margins(x=0.08)
    if len(ticks) <= 6:
        axes.set_xticks(ticks)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=whole))
    axes.tick_params(labelsize=7, colors=MUTED)
    axes.spines[["top", "right"]].set_visible(False)
