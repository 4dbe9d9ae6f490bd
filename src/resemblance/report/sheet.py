"""Sheets of small pictures and words, measured in cells: what the figures of several methods are drawn on.

Images are uint8 arrays (N, H, W, C) with one channel or three, as `pixels` makes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from resemblance.report.style import FAINT, INK, MUTED

CELL = 0.62  # inches


def pixels(images: Tensor) -> np.ndarray:
    """Images (N, C, H, W) in [0, 1] as uint8 arrays (N, H, W, C)."""
    levels = images.detach().float().clamp(0, 1).mul(255).round().byte()
    return levels.permute(0, 2, 3, 1).cpu().numpy()


def labelled_rows(rows: Sequence[tuple[str, np.ndarray]], note: str = "") -> Figure:
    """Labelled rows of images, with a note below where there is one to make."""
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


def sheet(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure measured in cells, y downwards."""
    figure = Figure(figsize=(width * CELL, height * CELL), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_autoscale_on(False)
    return figure, axes


def picture(
    axes: Axes, image: np.ndarray, left: float, top: float, side: float, frame: str | None = None
) -> None:
    """An image in a square of ``side``, at its own proportions."""
    longest = max(image.shape[:2])
    high, wide = side * image.shape[0] / longest, side * image.shape[1] / longest
    left, top = left + (side - wide) / 2, top + (side - high) / 2
    grey = image.ndim == 2 or image.shape[-1] == 1
    shown = image.reshape(image.shape[:2]) if grey else image
    axes.imshow(
        shown,
        cmap="gray" if grey else None,
        vmin=0,
        vmax=255,
        extent=(left, left + wide, top + high, top),
        interpolation="nearest",
        aspect="auto",
    )
    axes.add_patch(
        Rectangle(
            (left, top), wide, high, fill=False, edgecolor=frame or FAINT, linewidth=2.4 if frame else 0.6
        )
    )


def text(axes: Axes, x: float, y: float, words: str, **style: Any) -> None:
    """Words at a place, centred unless ``style`` says otherwise; a dollar sign is a dollar sign."""
    settings: dict[str, Any] = {"ha": "center", "va": "center", "color": INK, "size": 9, **style}
    axes.text(x, y, words, parse_math=False, **settings)


def number(value: float) -> str:
    """Two decimals with a true minus; fewer where the number is large."""
    size = abs(float(value))
    digits = f"{size:.2f}" if size < 100 else f"{size:.0f}" if size < 1e5 else f"{size:.1e}"
    return f"−{digits}" if value < 0 and float(digits) else digits
