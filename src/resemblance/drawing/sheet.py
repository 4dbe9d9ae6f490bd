"""Sheets of small pictures and text, drawn on one pair of axes, since axes for each picture would take seconds.

Images are uint8 arrays (H, W, C) with one channel or three, as `data.inputs.pixels` returns them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from resemblance.data.images import Pixels
from resemblance.drawing.style import FAINT, INK, MUTED, SMALL, draw_box, new_figure
from resemblance.printing.characters import printable
from resemblance.prototypes.gallery import Box

CELL = 0.62  # inches


def labelled_rows(rows: Sequence[tuple[str, Sequence[Pixels] | Pixels]], note: str = "") -> Figure:
    """Draw labelled rows of images, with an optional note below."""
    columns = max(len(images) for _, images in rows)
    margin = 0.3 + 0.115 * max(len(label) for label, _ in rows)
    width = max(margin + columns + 0.1, 0.3 + 0.1 * len(note))
    figure, axes = sheet(width, len(rows) * 1.05 + (0.6 if note else 0.1))
    if note:
        text(axes, 0.15, len(rows) * 1.05 + 0.32, note, ha="left", size=8, color=MUTED)
    for i, (label, images) in enumerate(rows):
        top = 0.1 + i * 1.05
        text(axes, margin - 0.15, top + 0.48, label, ha="right", size=8.5, color=MUTED)
        for j, image in enumerate(images):
            picture(axes, image, margin + j, top, 0.95)
    return figure


def sheet(width: float, height: float, unit: float = CELL) -> tuple[Figure, Axes]:
    """Return an empty figure and its axes, with coordinates from the upper left corner in ``unit`` inches."""
    figure = new_figure(width * unit, height * unit)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_autoscale_on(False)
    return figure, axes


def picture(
    axes: Axes,
    image: Pixels | None,
    left: float,
    top: float,
    side: float,
    frame: str | None = None,
    *,
    box: Box | None = None,
    whole: Pixels | None = None,
) -> None:
    """Draw an image in the middle of a square of ``side``, at its own proportions; an empty frame without an image.

    Small images, and parts of a small image (``whole``), are drawn without smoothing; ``box`` marks a part of it.
    """
    high = wide = side
    if image is None:
        text(axes, left + side / 2, top + side / 2, "no picture", color=MUTED, size=7)
    else:
        scale = side / max(image.shape[:2])
        high, wide = scale * image.shape[0], scale * image.shape[1]
        left, top = left + (side - wide) / 2, top + (side - high) / 2
        grey = image.ndim == 2 or image.shape[-1] == 1
        small = max((image if whole is None else whole).shape[:2]) <= SMALL
        axes.imshow(
            image.reshape(image.shape[:2]) if grey else image,
            cmap="gray" if grey else None,
            vmin=0,
            vmax=255,
            extent=(left, left + wide, top + high, top),
            interpolation="nearest" if small else "bilinear",
            aspect="auto",
        )
        if box is not None and box != (0, 0, image.shape[1], image.shape[0]):
            draw_box(axes, box, (left, top), scale)
    edge = Rectangle(
        (left, top), wide, high, fill=False, edgecolor=frame or FAINT, linewidth=2.4 if frame else 0.6
    )
    axes.add_patch(edge)


def text(axes: Axes, x: float, y: float, words: str, **style: Any) -> None:
    """Write text, centred unless ``style`` says otherwise; dollar signs do not start mathematics."""
    settings: dict[str, Any] = {"ha": "center", "va": "center", "color": INK, "size": 9, **style}
    axes.text(x, y, printable(words, lines=True), parse_math=False, **settings)


def number(value: float) -> str:
    """Format a number with two decimals, or fewer for large ones, and a true minus sign."""
    size = abs(float(value))
    digits = f"{size:.2f}" if size < 100 else f"{size:.0f}" if size < 1e5 else f"{size:.1e}"
    return f"−{digits}" if value < 0 and float(digits) else digits
