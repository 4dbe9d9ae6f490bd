"""Draw a path through a tree of prototypes as a strip of pictures."""

from __future__ import annotations

from matplotlib.figure import Figure

from resemblance.drawing.style import AGAINST, FOR, MUTED, plain, wrap, write
from resemblance.explain.explanation_data import ExplanationData
from resemblance.explain.map_text import check_text
from resemblance.explain.pictures.reason_pictures import ReasonPictures
from resemblance.explain.reason import Reason
from resemblance.explain.rounding import percent

CELL, PITCH, STRIP, IN_A_ROW = 1.05, 1.3, 2.85, 9


def strip_width(steps: int) -> float:
    """Return the width in inches of this number of steps side by side."""
    return min(steps, IN_A_ROW) * PITCH


def strip_height(reason: Reason) -> float:
    """Return the height of a path in inches."""
    return -(-len(reason.steps) // IN_A_ROW) * STRIP


def check_lines(explanation: ExplanationData, reason: Reason, width: float) -> list[str]:
    """Return what the check of each map of a path says, with the number of its part, in lines of ``width`` inches."""
    texts = ((step.prototype.index, check_text(explanation, step)) for step in reason.steps)
    return [line for part, text in texts if text for line in wrap(f"part {part}: {text}", width, 7)]


def draw_path(
    figure: Figure,
    pictures: ReasonPictures,
    reason: Reason,
    x: float,
    y: float,
) -> None:
    """Draw the steps of a path with its upper left corner at x, y.

    Each step shows the image, with its place most similar to the prototype, above the prototype. The colour and the
    text say whether the path continues because the part is present or because it is absent.

    Args:
        figure: the figure to draw on.
        pictures: the pictures of the explanation.
        reason: a reason with steps.
        x: inches from the left.
        y: inches from the top.
    """
    for number, step in enumerate(reason.steps):
        left, top = x + number % IN_A_ROW * PITCH, y + number // IN_A_ROW * STRIP
        color, label = (FOR, "has this part") if step.present else (AGAINST, "lacks this part")
        write(figure, left, top, label, color=color, fontsize=8.5, fontweight="bold")
        write(figure, left, top + 0.17, percent(step.probability), color=color, fontsize=8.5)
        if number + 1 < len(reason.steps):
            write(
                figure,
                left + CELL + (PITCH - CELL) / 2,
                top + 0.8,
                "›",
                color=MUTED,
                fontsize=13,
                ha="center",
            )
        view = step.prototype
        pictures.draw_image(figure, step, left, top + 0.37, CELL, scale=False)
        pictures.draw(figure, "prototype", step, left, top + 0.37 + CELL + 0.08, CELL)
        write(
            figure,
            left,
            top + 0.37 + 2 * CELL + 0.1,
            plain(f"part {view.index}", 20),
            color=MUTED,
            fontsize=8,
        )
