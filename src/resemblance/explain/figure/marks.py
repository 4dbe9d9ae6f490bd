"""The measures of an explanation's figure in inches, and its bars and rules."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resemblance.drawing.style import AGAINST, FAINT, FOR, MUTED, place

MARGIN, SIDE, GAP, HEAD = 0.3, 1.3, 0.2, 2.35
TEXT, BAR = 3.1, 2.1
LINE, SMALL = 0.26, 0.14
VALUES, DIGIT = 0.75, 0.084  # the room of the contributions, and of one of their characters
WIDTH = 1.1  # of a bar


def draw_bar(
    figure: Figure,
    value: float,
    span: tuple[float, float],
    x: float,
    y: float,
    height: float,
    width: float = WIDTH,
    band: tuple[float, float] | None = None,
) -> None:
    """Draw a bar from zero, on a scale that several bars share.

    Args:
        figure: the figure to draw on.
        value: the length of the bar; negative ones have another colour.
        span: the least and the largest value of the scale.
        x: inches from the left.
        y: inches from the top.
        height: of the bar, in inches.
        width: of the scale, in inches.
        band: a range of values to mark behind the bar, which is then thinner.
    """
    axes: Axes = place(figure, x, y, width, height)
    if band is not None:
        axes.axvspan(*band, color=FAINT, linewidth=0)
    axes.barh([0], [value], color=FOR if value >= 0 else AGAINST, height=0.9 if band is None else 0.55)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.set_xlim(*span)
    axes.set_ylim(-0.5, 0.5)
    axes.axis("off")


def draw_rule(figure: Figure, y: float, right: float, dashed: bool = False, x: float = MARGIN) -> None:
    """Draw a horizontal line from x to ``right``, in inches."""
    axes = place(figure, x, y, right - x, 0.02)
    axes.axhline(0.5, color=MUTED if dashed else FAINT, linestyle="--" if dashed else "-", linewidth=1.0)
    axes.axis("off")
