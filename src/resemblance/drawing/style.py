"""What all figures share: colours, sizes, and text that is never taken for mathematics."""

from __future__ import annotations

import io
import unicodedata
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from resemblance.data.images import Pixels
from resemblance.prototypes.gallery import Box

INK = "#1c2330"
MUTED = "#5b6472"
FAINT = "#d5d9e0"
BOX = "#ffd400"
FOR = "#1f6fb2"
AGAINST = "#b4431f"
WARN = "#9a3412"
SMALL = 64  # pixels a side up to which images show their pixels


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, drawn without a display and without pyplot's state."""
    figure = Figure(figsize=(width, height), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def plain(text: object, limit: int = 40) -> str:
    """One printable line of at most ``limit`` characters, shortened in the middle.

    Example:
        >>> plain("a\\nb"), plain("train/cats/0123456789.jpg", 12)
        ('a b', 'train/…9.jpg')
    """
    line = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in str(text)).strip()
    if len(line) <= limit:
        return line
    head = limit // 2
    return line[:head] + "…" + line[-(limit - head - 1) :]


def write(figure: Figure, x: float, y: float, text: str, **options: Any) -> Text:
    """Text at x, y inches from the figure's upper left corner; a dollar sign is a dollar sign."""
    width, height = figure.get_size_inches()
    options = dict[str, Any](color=INK, va="top", fontsize=9) | options
    return figure.text(x / width, 1 - y / height, text, parse_math=False, **options)


def inches(words: str, size: float) -> float:
    """About how wide a line is in DejaVu Sans of so many points: 0.6 of them a letter, 0.68 when bold and mixed."""
    return 0.62 * size / 72 * len(words)


def place(figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
    """Axes with their upper left corner at x, y inches from the figure's."""
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
) -> Axes:
    """A picture within a square of ``side`` inches, with a box on it; an empty frame where there is none.

    Small images show their pixels; a part of a large image (``whole``) is smoothed as that image would be.
    """
    axes = place(figure, x, y, side, side)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=FAINT, linewidth=0.6)  # where a picture is as bright as the page
    if pixels is None:
        axes.text(0.5, 0.5, "no picture", ha="center", va="center", color=MUTED, fontsize=8)
        return axes
    small = max((pixels if whole is None else whole).shape[:2]) <= SMALL
    axes.imshow(np.asarray(pixels), interpolation="nearest" if small else "bilinear", aspect="equal")
    axes.set_anchor("NW")
    if box is not None:
        draw_box(axes, box)
    return axes


def draw_box(axes: Axes, box: Box, corner: tuple[float, float] = (-0.5, -0.5), pixel: float = 1.0) -> None:
    """A yellow frame with a dark edge, visible on any picture.

    Args:
        axes: those of the picture.
        box: pixels of it.
        corner: its upper left corner in the axes' units.
        pixel: a pixel's side in these.
    """
    x0, y0, x1, y1 = (pixel * edge for edge in box)
    for color, width in (("black", 3.0), (BOX, 1.6)):
        place_ = (corner[0] + x0, corner[1] + y0)
        frame = Rectangle(place_, x1 - x0, y1 - y0, fill=False, edgecolor=color, linewidth=width)
        frame.set_clip_on(False)
        axes.add_patch(frame)


def png(figure: Figure) -> bytes:
    """A figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
