"""Draw matrices as coloured cells, with numbers where there is room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from resemblance.drawing.sheet import sheet, text
from resemblance.drawing.style import AGAINST, FAINT, FOR, INK, MUTED, inches, place, plain

MARGIN, SCALE = 0.3, 0.9  # inches: the margin of the figure, and the smallest height of its colour scale
SIGNED = LinearSegmentedColormap.from_list("signed", [AGAINST, "white", FOR])
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Cells:
    """The appearance of cells.

    Args:
        colours: the colour map of their values.
        low: the value of the first colour.
        high: the value of the last colour.
        decimals: decimals of the numbers in the cells; None for colours only.
        size: width and height in inches.
    """

    colours: Colormap
    low: float
    high: float
    decimals: int | None = None
    size: tuple[float, float] = (0.26, 0.26)


def draw_matrix(axes: Axes, values: Floats, left: float, top: float, cells: Cells) -> AxesImage:
    """Draw a matrix (R, K) on a sheet in inches; cells without a value (NaN) are white.

    Example:
        >>> figure, axes = sheet(2, 2, unit=1)
        >>> image = draw_matrix(axes, np.eye(2), 0.5, 0.5, Cells(SIGNED, -1, 1, decimals=1))
        >>> [label.get_text() for label in axes.texts]
        ['1.0', '0.0', '0.0', '1.0']
    """
    palette, scale = cells.colours.with_extremes(bad="white"), Normalize(cells.low, cells.high)
    (rows, columns), (wide, high) = values.shape, cells.size
    right, bottom = left + columns * wide, top + rows * high
    extent = (left, right, bottom, top)
    image = axes.imshow(
        np.ma.masked_invalid(values),
        cmap=palette,
        norm=scale,
        extent=extent,
        interpolation="nearest",
        aspect="auto",
    )
    axes.vlines(left + wide * np.arange(columns + 1), top, bottom, colors=FAINT, linewidth=0.5)
    axes.hlines(top + high * np.arange(rows + 1), left, right, colors=FAINT, linewidth=0.5)
    if cells.decimals is None:
        return image
    for row, column in np.argwhere(np.isfinite(values)):
        value = values[row, column]
        red, green, blue, _ = palette(scale(value))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        number = f"{np.round(value, cells.decimals) + 0.0:.{cells.decimals}f}".replace("-", "−")
        x, y = left + (column + 0.5) * wide, top + (row + 0.5) * high
        text(axes, x, y, number, size=7, color="white" if dark else INK)
    return image


def matrix_figure(
    values: Floats,
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Cells,
    *,
    heading: str = "",
    note: str = "",
    bar: bool = True,
    framed: NDArray[np.bool_] | None = None,
) -> Figure:
    """Draw a matrix with names on the left and above.

    Args:
        values: (R, K), NaN where there is no value.
        rows: R names.
        columns: K names.
        cells: the appearance of the cells.
        heading: text above the columns' names.
        note: text below.
        bar: whether to draw the colour scale.
        framed: (R, K) cells to frame.

    Example:
        >>> figure = matrix_figure(np.eye(2), ["ant", "bee"], ["0", "1"], Cells(SIGNED, -1, 1), heading="concept")
        >>> [label.get_text() for label in figure.axes[0].texts]
        ['concept', 'ant', 'bee', '0', '1']
    """
    rows, columns = [plain(name, 22) for name in rows], [plain(name, 22) for name in columns]
    (wide, high), size = cells.size, 8
    upright = max(inches(name, size) for name in columns) <= wide
    above = 0.18 if upright else max(inches(name, size) for name in columns)
    left = MARGIN + max(inches(name, size) for name in rows) + 0.1
    top = MARGIN + (0.25 if heading else 0.0) + above + 0.08
    right, bottom = left + len(columns) * wide, top + len(rows) * high
    width = max(right + (0.75 if bar else 0.0), left + inches(note, size))
    height = max(bottom + (0.35 if note else 0.0), top + (SCALE if bar else 0.0))
    figure, axes = sheet(width + MARGIN, height + MARGIN, unit=1)
    if heading:
        text(axes, left, MARGIN + 0.05, heading, ha="left", size=size, color=MUTED)
    for number, name in enumerate(rows):
        text(axes, left - 0.08, top + (number + 0.5) * high, name, ha="right", size=size)
    for number, name in enumerate(columns):
        turn = 0 if upright else 90
        text(axes, left + (number + 0.5) * wide, top - 0.08, name, va="bottom", rotation=turn, size=size)
    image = draw_matrix(axes, values, left, top, cells)
    for row, column in () if framed is None else np.argwhere(framed):
        corner = (left + (column + 0.04) * wide, top + (row + 0.04) * high)
        axes.add_patch(Rectangle(corner, 0.92 * wide, 0.92 * high, fill=False, edgecolor=INK, linewidth=0.9))
    if note:
        text(axes, left, bottom + 0.25, note, ha="left", size=size, color=MUTED)
    if bar:
        strip = place(figure, right + 0.2, top, 0.14, max(bottom - top, SCALE))
        figure.colorbar(image, cax=strip).outline.set_visible(False)
        strip.tick_params(labelsize=7, color=MUTED, labelcolor=INK)
    return figure
