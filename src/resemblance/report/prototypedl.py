"""The figures of PrototypeDL's paper, from arrays (Li et al. 2018, tables 1 and 2, figures 2 and 3).

Images are uint8 arrays (N, H, W, C) with one channel or three, as `pixels` makes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from resemblance.methods.prototypedl import PrototypeDL
from resemblance.report.paper import Drawn, Material
from resemblance.report.style import AGAINST, FAINT, FOR, INK, MUTED, plain

SHADE = "#f6c9b4"
CELL = 0.62  # inches
TABLE = 1.6  # cells left of the weights
NUMBERS_UP_TO = 20  # classes; beyond that a number has no room in its cell


def pixels(images: Tensor) -> np.ndarray:
    """Images (N, C, H, W) in [0, 1] as uint8 arrays (N, H, W, C)."""
    levels = images.detach().float().clamp(0, 1).mul(255).round().byte()
    return levels.permute(0, 2, 3, 1).cpu().numpy()


def weight_table(
    images: np.ndarray, weights: np.ndarray, classes: Sequence[str], *, limit: int = 40
) -> Figure:
    """Transposed weights with the decoded prototypes at the left, the most negative of each shaded (table 1).

    The class of the most negative weight is the prototype's visual class. With more than 20 classes colour
    stands for the numbers; with more than ``limit``, the visual classes of the rows are shown.

    Args:
        images: (P, H, W, C) decoded prototypes.
        weights: (P, K), one row a prototype.
        classes: K names.
        limit: rows and columns shown at most.
    """
    classes = [plain(name, 20) for name in classes]
    rows = min(len(images), limit)
    visual = weights[:rows].argmin(axis=1)
    shown = list(range(len(classes))) if len(classes) <= limit else np.unique(visual).tolist()
    numbers = len(shown) <= NUMBERS_UP_TO
    width = 1.0 if numbers else 0.5
    right = TABLE + len(shown) * width
    longest = max(len(classes[c]) for c in shown)
    upright = numbers and longest <= 5
    header = 0.7 if upright else 0.14 * longest + 0.4
    figure, axes = _sheet(max(right, 8.0) + 0.1, header + rows + 0.9)
    for place, c in enumerate(shown):
        middle, turn = TABLE + (place + 0.5) * width, 0 if upright else 90
        _text(axes, middle, header - 0.2, classes[c], weight="bold", rotation=turn, va="bottom")
    scale = float(np.abs(weights).max()) or 1.0
    for j in range(rows):
        top = header + j
        axes.plot([0, right], [top, top], color=FAINT, linewidth=0.6)
        _text(axes, 0.28, top + 0.5, str(j), color=MUTED, size=8)
        _picture(axes, images[j], 0.55, top + 0.05, 0.9)
        for place, c in enumerate(shown):
            _weight(
                axes, weights[j, c], scale, TABLE + place * width, top, width, bool(c == visual[j]), numbers
            )
    note = "Shaded" if numbers else "Framed"
    note += ": the most negative weight, the prototype's visual class"
    note += f" · {len(images) - rows} more prototypes" if rows < len(images) else ""
    note += f" · {len(classes) - len(shown)} more classes" if len(shown) < len(classes) else ""
    _text(axes, 0.1, header + rows + 0.45, note, color=MUTED, size=8, ha="left")
    return figure


def _weight(
    axes: Axes, value: float, scale: float, left: float, top: float, width: float, visual: bool, number: bool
) -> None:
    """One cell of the table, as a number or as a colour."""
    if number:
        if visual:
            box = Rectangle((left + 0.03, top + 0.06), width - 0.06, 0.88, facecolor=SHADE, linewidth=0)
            axes.add_patch(box)
        _text(
            axes,
            left + width / 2,
            top + 0.5,
            _number(value),
            weight="bold" if visual else "normal",
            size=8.5,
        )
        return
    colour = AGAINST if value < 0 else FOR
    strength = min(abs(float(value)) / scale, 1.0)
    axes.add_patch(Rectangle((left, top), width, 1, facecolor=colour, alpha=strength, linewidth=0))
    if visual:
        axes.add_patch(Rectangle((left, top), width, 1, fill=False, edgecolor=INK, linewidth=1.2, zorder=3))


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
    """An image and its squared distances to all prototypes, the nearest ones framed (table 2).

    Args:
        image: (H, W, C).
        images: (P, H, W, C) decoded prototypes.
        distances: (P,) squared distances in the code space.
        caption: below the image, such as what was predicted.
        names: P visual classes, written beside the distances.
        nearest: how many to frame.
        columns: prototypes in a row.
        limit: prototypes shown at most; the nearest, if there are more.
    """
    order = np.argsort(distances, kind="stable")
    framed = set(order[:nearest].tolist())
    shown = sorted(order[:limit].tolist())
    rows = -(-len(shown) // columns)
    figure, axes = _sheet(3.3 + columns * 1.25, max(rows * 1.45, 3.3) + 0.45)
    middle = max(rows * 1.45, 3.3) / 2
    _picture(axes, image, 0.2, middle - 1.35, 2.5)
    _text(axes, 1.45, middle + 1.45, caption, weight="bold")
    offset = middle - rows * 1.45 / 2
    for place, j in enumerate(shown):
        left, top = 3.3 + place % columns * 1.25, offset + place // columns * 1.45
        near = j in framed
        _picture(axes, images[j], left + 0.05, top + 0.05, 1.05, AGAINST if near else None)
        label = (f"{names[j]} · " if names is not None else "") + _number(distances[j])
        _text(
            axes,
            left + 0.58,
            top + 1.26,
            label,
            size=8.5,
            weight="bold" if near else "normal",
            color=AGAINST if near else INK,
        )
    hidden = f" · {len(images) - len(shown)} farther prototypes not shown" if len(shown) < len(images) else ""
    note = f"Squared distance between code and prototype; framed: the {len(framed)} nearest{hidden}"
    _text(axes, 0.2, max(rows * 1.45, 3.3) + 0.2, note, color=MUTED, size=8, ha="left")
    return figure


def reconstructions(originals: np.ndarray, reconstructed: np.ndarray) -> Figure:
    """Images above and what the autoencoder makes of them below (figure 2); both (N, H, W, C)."""
    return _rows([("image", originals), ("reconstruction", reconstructed)])


def prototype_grid(
    images: np.ndarray, names: Sequence[str] | None = None, *, columns: int = 5, limit: int = 100
) -> Figure:
    """The decoded prototypes (P, H, W, C) in a grid, with their visual classes below (figure 3)."""
    shown = min(len(images), limit)
    columns = min(columns, shown)
    high = 1.1 if names is None else 1.4
    figure, axes = _sheet(columns * 1.1 + 0.1, -(-shown // columns) * high + 0.1)
    for j in range(shown):
        left, top = 0.1 + j % columns * 1.1, 0.1 + j // columns * high
        _picture(axes, images[j], left, top, 1.0)
        if names is not None:
            _text(axes, left + 0.5, top + 1.16, f"{j} · {names[j]}", size=8)
    return figure


def through_training(snapshots: Sequence[tuple[int, np.ndarray]], *, limit: int = 20) -> Figure:
    """The decoded prototypes after some epochs: one row an epoch, one column a prototype (section 2.1).

    Args:
        snapshots: (epochs done, images (P, H, W, C)), in order.
        limit: prototypes shown at most.
    """
    rows = []
    for epoch, images in snapshots:
        rows.append(("at the start" if epoch == 0 else f"epoch {epoch}", images[:limit]))
    return _rows(rows)


def figures(model: PrototypeDL, material: Material) -> dict[str, Drawn]:
    """All figures of the paper for a trained model, by what they show.

    Args:
        model: trained.
        material: images to reconstruct, of which the first is the one whose distances are shown, and snapshots.
    """
    images, snapshots = material.images, material.snapshots
    with torch.no_grad():
        output = model.eval()(images := images.to(model.device))
        back, decoded = model.reconstruct(images), pixels(model.decode(model.prototypes.vectors))
        weights = model.centred_weights.T.cpu().numpy()
    classes = model.spec.classes
    names = [classes[c] for c in weights.argmin(axis=1)]
    found = {
        "Prototypes, decoded": prototype_grid(decoded, names),
        "Weights of the distances": weight_table(decoded, weights, classes),
    }
    if len(images):
        predicted = classes[int(output.scores[0].argmax())]
        distances = output.extras["distances"][0].cpu().numpy()
        found["Distances of an image to all prototypes"] = distance_table(
            pixels(images)[0], decoded, distances, caption=f"predicted: {predicted}", names=names
        )
        found["Images and their reconstructions"] = reconstructions(pixels(images), pixels(back))
    if snapshots:
        found["Prototypes through training"] = through_training(
            [(epoch, arrays["prototypes"]) for epoch, arrays in snapshots]
        )
    return {title: Drawn(figure) for title, figure in found.items()}


def _rows(rows: Sequence[tuple[str, np.ndarray]]) -> Figure:
    """Labelled rows of images."""
    columns = max(len(images) for _, images in rows)
    margin = 0.2 + 0.115 * max(len(label) for label, _ in rows)
    figure, axes = _sheet(margin + columns + 0.1, len(rows) * 1.05 + 0.1)
    for i, (label, images) in enumerate(rows):
        top = 0.1 + i * 1.05
        _text(axes, margin - 0.15, top + 0.48, label, ha="right", size=8.5, color=MUTED)
        for j, image in enumerate(images):
            _picture(axes, image, margin + j, top, 0.95)
    return figure


def _sheet(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure measured in cells, y downwards."""
    figure = Figure(figsize=(width * CELL, height * CELL), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_autoscale_on(False)
    return figure, axes


def _picture(
    axes: Axes, image: np.ndarray, left: float, top: float, side: float, frame: str | None = None
) -> None:
    """An image in a square of ``side``, at its own proportions."""
    longest = max(image.shape[:2])
    high, wide = side * image.shape[0] / longest, side * image.shape[1] / longest
    left, top = left + (side - wide) / 2, top + (side - high) / 2
    grey = image.ndim == 2 or image.shape[-1] == 1
    picture = image.reshape(image.shape[:2]) if grey else image
    axes.imshow(
        picture,
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


def _text(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    settings: dict[str, Any] = {"ha": "center", "va": "center", "color": INK, "size": 9, **style}
    axes.text(x, y, text, parse_math=False, **settings)


def _number(value: float) -> str:
    """Two decimals with a true minus; fewer where the number is large."""
    size = abs(float(value))
    text = f"{size:.2f}" if size < 100 else f"{size:.0f}" if size < 1e5 else f"{size:.1e}"
    return f"−{text}" if value < 0 and float(text) else text
