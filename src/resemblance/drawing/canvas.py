"""Pictures, bars and lines on one canvas in inches: axes of their own for each would take most of a figure's time."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resemblance.data.images import Pixels
from resemblance.drawing.style import FAINT, MUTED, SMALL, draw_box, place
from resemblance.prototypes.gallery import Box

CANVAS = "canvas"


def canvas(figure: Figure) -> Axes:
    """Return axes over the whole figure whose units are inches from its upper left corner.

    Example:
        >>> from resemblance.drawing.style import new_figure
        >>> figure = new_figure(4, 3)
        >>> canvas(figure) is canvas(figure), canvas(figure).get_xlim()
        (True, (np.float64(0.0), np.float64(4.0)))
    """
    for axes in figure.axes:
        if axes.get_label() == CANVAS:
            return axes
    width, height = figure.get_size_inches()
    axes = place(figure, 0, 0, width, height)
    axes.set(label=CANVAS, xlim=(0, width), ylim=(height, 0), autoscale_on=False, zorder=-1)
    axes.axis("off")
    return axes


def paste(
    figure: Figure,
    x: float,
    y: float,
    side: float,
    pixels: Pixels | None,
    box: Box | None = None,
    small: bool | None = None,
) -> None:
    """Draw a picture within a square of ``side`` inches, with a box on it; an empty frame without a picture.

    Args:
        figure: the figure to draw on.
        x: inches from the left.
        y: inches from the top.
        side: of the square; the longer side of the picture fills it.
        pixels: (H, W) or (H, W, 3).
        box: the box, in pixels.
        small: whether single pixels are to be seen; by default those of pictures of up to 64 pixels per side.
    """
    axes = canvas(figure)
    if pixels is None:
        draw_frame(axes, x, y, side, side)
        axes.text(x + side / 2, y + side / 2, "no picture", ha="center", va="center", color=MUTED, fontsize=8)
        return
    height, width = pixels.shape[:2]
    pixel = side / max(height, width)
    small = max(height, width) <= SMALL if small is None else small
    spread(axes, pixels, x, y, width * pixel, height * pixel, "nearest" if small else "bilinear")
    draw_frame(axes, x, y, width * pixel, height * pixel)
    if box is not None:
        draw_box(axes, box, (x, y), pixel)


def spread(
    axes: Axes,
    pixels: Pixels,
    x: float,
    y: float,
    width: float,
    height: float,
    interpolation: str = "bilinear",
) -> None:
    """Draw pixels over a rectangle of the canvas."""
    edges = (x, x + width, y + height, y)
    axes.imshow(pixels, extent=edges, aspect="auto", interpolation=interpolation, zorder=1)


def draw_frame(axes: Axes, x: float, y: float, width: float, height: float) -> None:
    """Draw a thin frame, visible where a picture is as bright as the page."""
    xs, ys = (x, x + width, x + width, x, x), (y, y, y + height, y + height, y)
    axes.plot(xs, ys, color=FAINT, linewidth=0.6, zorder=2, solid_joinstyle="miter")
