"""The measures of an explanation's figure in inches, and its bars and rules."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from resemblance.drawing.canvas import canvas
from resemblance.drawing.style import AGAINST, FAINT, FOR, MUTED

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
    axes, middle = canvas(figure), y + height / 2
    low, high = span
    inch = width / (high - low)  # of a unit
    zero = x - low * inch
    if band is not None:
        axes.add_patch(
            Rectangle(
                (zero + band[0] * inch, y), (band[1] - band[0]) * inch, height, color=FAINT, linewidth=0
            )
        )
    thick = height * (0.9 if band is None else 0.55)
    color = FOR if value >= 0 else AGAINST
    axes.add_patch(Rectangle((zero, middle - thick / 2), value * inch, thick, color=color, linewidth=0))
    axes.plot((zero, zero), (y, y + height), color=MUTED, linewidth=0.8)


def draw_rule(figure: Figure, y: float, right: float, dashed: bool = False, x: float = MARGIN) -> None:
    """Draw a horizontal line from x to ``right``, in inches."""
    color, style = (MUTED, "--") if dashed else (FAINT, "-")
    canvas(figure).plot((x, right), (y + 0.01, y + 0.01), color=color, linestyle=style, linewidth=1.0)
