"""The style of all figures: colours, sizes, and text without mathematics."""

from __future__ import annotations

import io
import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from resemblance.data.images import Pixels
from resemblance.printing.characters import printable
from resemblance.prototypes.gallery import Box

INK = "#1c2330"
MUTED = "#5b6472"
FAINT = "#d5d9e0"
BOX = "#ffd400"
FOR = "#1f6fb2"
AGAINST = "#b4431f"
WARN = "#9a3412"
SMALL = 64  # images up to this many pixels per side are drawn without smoothing


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of that size in inches, without a display and without pyplot's state."""
    figure = Figure(figsize=(width, height), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def plain(text: object, limit: int = 40) -> str:
    """Return the text as one printable line of at most ``limit`` characters, shortened in the middle.

    Example:
        >>> print(plain("a\\x07b"), plain("train/cats/0123456789.jpg", 12))
        a\\x07b train/…9.jpg
    """
    line = printable(text).strip()
    if len(line) <= limit:
        return line
    head = limit // 2
    return line[:head] + "…" + line[-(limit - head - 1) :]


def write(figure: Figure, x: float, y: float, text: str, **options: Any) -> Text:
    """Write text at x, y inches from the figure's upper left corner; dollar signs do not start mathematics."""
    text = printable(text, lines=True)
    width, height = figure.get_size_inches()
    options = dict[str, Any](color=INK, va="top", fontsize=9) | options
    return figure.text(x / width, 1 - y / height, text, parse_math=False, **options)


def inches(words: str, size: float) -> float:
    """Estimate the width of a line in DejaVu Sans: 0.6 of the size in points per letter, 0.68 when bold and mixed."""
    return 0.62 * size / 72 * len(words)


def wrap(text: str, width: float, size: float) -> list[str]:
    """Break a text of ``size`` points into lines that fit into ``width`` inches."""
    return textwrap.wrap(text, max(12, int(width / inches("a", size)))) or [""]


def place(figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
    """Add axes with their upper left corner at x, y inches from the figure's."""
    total = figure.get_size_inches()
    return figure.add_axes((x / total[0], 1 - (y + height) / total[1], width / total[0], height / total[1]))


def show(
    figure: Figure,
    x: float,
    y: float,
    side: float,
    pixels: Pixels | None,
    box: Box | None = None,
    whole: Pixels | None = None,
    small: bool | None = None,
) -> Axes:
    """Draw a picture within a square of ``side`` inches, with a box on it; an empty frame without a picture.

    Small images are drawn without smoothing; a part of a large image (``whole``) is smoothed like that image, unless
    ``small`` says whether single pixels are to be seen.
    """
    axes = place(figure, x, y, side, side)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=FAINT, linewidth=0.6)  # visible where a picture is as bright as the page
    if pixels is None:
        axes.text(0.5, 0.5, "no picture", ha="center", va="center", color=MUTED, fontsize=8)
        return axes
    if small is None:
        small = max((pixels if whole is None else whole).shape[:2]) <= SMALL
    axes.imshow(np.asarray(pixels), interpolation="nearest" if small else "bilinear", aspect="equal")
    axes.set_anchor("NW")
    if box is not None:
        draw_box(axes, box)
    return axes


def draw_box(axes: Axes, box: Box, corner: tuple[float, float] = (-0.5, -0.5), pixel: float = 1.0) -> None:
    """Draw a yellow frame with a dark edge, visible on any picture.

    Args:
        axes: the axes of the picture.
        box: the box, in pixels of the picture.
        corner: the upper left corner of the picture in the axes' units.
        pixel: the side of a pixel in these units.
    """
    x0, y0, x1, y1 = (pixel * edge for edge in box)
    for color, width in (("black", 3.0), (BOX, 1.6)):
        frame_corner = (corner[0] + x0, corner[1] + y0)
        frame = Rectangle(frame_corner, x1 - x0, y1 - y0, fill=False, edgecolor=color, linewidth=width)
        frame.set_clip_on(False)
        axes.add_patch(frame)


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
