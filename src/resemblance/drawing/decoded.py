"""Figures for methods with decoded prototypes: rows and grids of images, and distances.

Images are uint8 arrays (N, H, W, C) with one channel or three, as `data.inputs.pixels` returns them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from resemblance.drawing.sheet import labelled_rows, number, picture, sheet, text
from resemblance.drawing.style import AGAINST, INK, MUTED


def distance_table(
    image: np.ndarray,
    images: np.ndarray,
    distances: np.ndarray,
    *,
    caption: str = "",
    names: Sequence[str] | None = None,
    nearest: int = 3,
    columns: int = 5,
    limit: int = 60,
) -> Figure:
    """Draw an image and its squared distances to all prototypes, with the nearest ones framed (table 2).

    Args:
        image: (H, W, C).
        images: (P, H, W, C) decoded prototypes.
        distances: (P,) squared distances in the code space.
        caption: text below the image, for instance the prediction.
        names: P visual classes, written beside the distances.
        nearest: how many to frame.
        columns: prototypes per row.
        limit: the largest number of prototypes to show; the nearest, if there are more.
    """
    order = np.argsort(distances, kind="stable")
    framed = set(order[:nearest].tolist())
    shown = sorted(order[:limit].tolist())
    rows = -(-len(shown) // columns)
    beside = (
        names is None or max(len(name) for name in names) <= 4
    )  # otherwise the name is on a separate line
    high = 1.45 if beside else 1.75
    figure, axes = sheet(3.3 + columns * 1.25, max(rows * high, 3.3) + 0.45)
    middle = max(rows * high, 3.3) / 2
    picture(axes, image, 0.2, middle - 1.35, 2.5)
    text(axes, 1.45, middle + 1.3, caption, weight="bold", va="top")
    offset = middle - rows * high / 2
    for place, j in enumerate(shown):
        left, top = 3.3 + place % columns * 1.25, offset + place // columns * high
        near = j in framed
        picture(axes, images[j], left + 0.05, top + 0.05, 1.05, AGAINST if near else None)
        label = ("" if names is None else f"{names[j]} · " if beside else f"{names[j]}\n") + number(
            distances[j]
        )
        text(
            axes,
            left + 0.58,
            top + high - 0.19 if beside else top + 1.36,
            label,
            size=8.5,
            weight="bold" if near else "normal",
            color=AGAINST if near else INK,
        )
    hidden = f" · {len(images) - len(shown)} farther prototypes not shown" if len(shown) < len(images) else ""
    note = f"Squared distance between code and prototype; framed: the {len(framed)} nearest{hidden}"
    text(axes, 0.2, max(rows * high, 3.3) + 0.2, note, color=MUTED, size=8, ha="left")
    return figure


def reconstructions(originals: np.ndarray, reconstructed: np.ndarray) -> Figure:
    """Draw images, and below them their reconstructions by the autoencoder (figure 2); both (N, H, W, C)."""
    return labelled_rows([("image", originals), ("reconstruction", reconstructed)])


def prototype_grid(
    images: np.ndarray, names: Sequence[str] | None = None, *, columns: int = 5, limit: int = 100
) -> Figure:
    """Draw the decoded prototypes (P, H, W, C) in a grid, with their visual classes below (figure 3)."""
    shown = min(len(images), limit)
    columns = min(columns, shown)
    high = 1.1 if names is None else 1.4
    figure, axes = sheet(columns * 1.1 + 0.1, -(-shown // columns) * high + 0.1)
    for j in range(shown):
        left, top = 0.1 + j % columns * 1.1, 0.1 + j // columns * high
        picture(axes, images[j], left, top, 1.0)
        if names is not None:
            text(axes, left + 0.5, top + 1.16, f"{j} · {names[j]}", size=8)
    return figure


def through_training(snapshots: Sequence[tuple[int, np.ndarray]], *, limit: int = 20) -> Figure:
    """Draw the decoded prototypes after some epochs: one row per epoch, one column per prototype (section 2.1).

    Args:
        snapshots: (epochs done, images (P, H, W, C)), in order.
        limit: the largest number of prototypes to show.
    """
    lines = []
    for epoch, images in snapshots:
        lines.append(("at the start" if epoch == 0 else f"epoch {epoch}", images[:limit]))
    return labelled_rows(lines)
