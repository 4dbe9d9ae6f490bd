"""Draw how the place of a prototype moves: the image before and after a change, with maps and boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from torch import Tensor

from resemblance.data.images import Pixels
from resemblance.data.inputs import as_picture
from resemblance.drawing.heat import overlay
from resemblance.drawing.sheet import number, picture, sheet, text
from resemblance.drawing.style import INK, MUTED, WARN, wrap
from resemblance.explain.prototype_view import PrototypeView
from resemblance.prototypes.gallery import Box
from resemblance.prototypes.maps import upsample

AMPLIFIED = 10
SIDE, GAP, LEFT, TOP = 1.75, 0.25, 0.75, 0.32  # inches
ROW, FOOT = SIDE + 0.68, 0.42
REGION = "#2fbf71"


@dataclass(frozen=True)
class PlaceChange:
    """An image before and after a change, and where a prototype is found in both.

    Args:
        image: (C, H, W) in [0, 1].
        changed: (C, H, W) in [0, 1].
        before: (h, w) similarity map of the image.
        after: (h, w) similarity map of the changed image.
        place: the box where the prototype is found in the image, in pixels.
        found: the box where it is found in the changed image; None if it is found nowhere.
        region: the pixels that were allowed to change, if they are to be marked: (H, W) bool.
        outcome: what is said of the changed image's map, after its largest similarity.
    """

    image: Tensor
    changed: Tensor
    before: NDArray[np.float32]
    after: NDArray[np.float32]
    place: Box
    found: Box | None
    region: NDArray[np.bool_] | None = None
    outcome: str = ""


def place_figure(change: PlaceChange, view: PrototypeView, answers: tuple[str, str]) -> Figure:
    """Draw two rows, before and after: the image with a box, and the map, both maps on one scale.

    The upper left picture is the prototype, the lower left one the change × 10, with the old place. In the lower row an
    arrow leads from the old place to the new one.

    Args:
        change: what to draw.
        view: the prototype.
        answers: what the model says of the image and of the changed one.
    """
    figure, axes = sheet(LEFT + 3 * SIDE + 2 * GAP + 0.2, TOP + ROW + SIDE + FOOT, unit=1.0)
    columns = [LEFT + index * (SIDE + GAP) for index in range(3)]
    images = [as_picture(change.image), as_picture(change.changed)]
    height, width = images[0].shape[:2]
    heats = [
        upsample(torch.from_numpy(cells), (height, width)).numpy() for cells in (change.before, change.after)
    ]
    # One call for both, so that their colours have one scale.
    maps = np.split(overlay(np.concatenate(images, axis=1), np.concatenate(heats, axis=1)), 2, axis=1)
    rows = zip(("before", "after"), (change.place, change.found), (change.before, change.after), strict=True)
    for row, (name, box, cells) in enumerate(rows):
        top = TOP + row * ROW
        text(axes, 0.12, top + SIDE / 2, name, ha="left", size=10, color=(INK, WARN)[row])
        _panel(axes, columns[1], top, images[row], box, f"image {name}", answers[row])
        best = f"largest {view.words.similarity} {number(float(cells.max()))}{change.outcome * row}"
        title = f"{view.words.similarity} map{', same scale' * row}"
        _panel(axes, columns[2], top, maps[row], box, title, best)
    _panel(axes, columns[0], TOP, *view.in_source, view.title, view.of_classes)
    unchanged = (
        "grey: not changed" if change.region is None else "grey: not changed; green frame: where it is to be"
    )
    noise = (0.5 + AMPLIFIED * (change.changed - change.image)).clamp(0, 1)
    _panel(axes, columns[0], TOP + ROW, as_picture(noise), change.place, f"change × {AMPLIFIED}", unchanged)
    scale = SIDE / max(height, width)
    corner = (columns[1] + (SIDE - scale * width) / 2, TOP + ROW + (SIDE - scale * height) / 2)
    if change.region is not None:
        _outline(axes, change.region, corner, scale)
    if change.found is not None:
        ends = [_best_cell(cells, (height, width)) for cells in (change.before, change.after)]
        _arrow(axes, ends[0], ends[1], corner, scale)
    return figure


def _panel(
    axes: Axes,
    left: float,
    top: float,
    pixels: Pixels | None,
    box: Box | None,
    above: str,
    below: str,
) -> None:
    """Draw a picture with a box, a line above and one or two below."""
    text(axes, left + SIDE / 2, top - 0.12, above, size=8.5)
    picture(axes, pixels, left, top, SIDE, box=box)
    for line, words in enumerate(wrap(below, SIDE + GAP, 8)[:2] if below else []):
        text(axes, left + SIDE / 2, top + SIDE + 0.12 + 0.14 * line, words, size=8, color=MUTED)


def _best_cell(cells: NDArray[np.float32], size: tuple[int, int]) -> tuple[float, float]:
    """Return the centre of the most similar cell, x and y in pixels."""
    row, column = np.unravel_index(int(np.argmax(cells)), cells.shape)
    return (float(column) + 0.5) * size[1] / cells.shape[1], (float(row) + 0.5) * size[0] / cells.shape[0]


def _arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    corner: tuple[float, float],
    scale: float,
) -> None:
    """Draw an arrow between two places of a picture, visible on any; none within one place."""
    if start == end:
        return
    ends = [(corner[0] + scale * x, corner[1] + scale * y) for x, y in (start, end)]
    arrow = FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=14, color="white", linewidth=1.8)
    arrow.set_path_effects([withStroke(linewidth=4.0, foreground="black")])
    axes.add_patch(arrow)


def _outline(axes: Axes, region: NDArray[np.bool_], corner: tuple[float, float], scale: float) -> None:
    """Draw the edges of a region of pixels in green, with a dark edge."""
    padded = np.pad(region, 1)
    edges = []
    for y, x in np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1]):  # between rows y - 1 and y
        edges.append([(x, y), (x + 1, y)])
    for y, x in np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1]):
        edges.append([(x, y), (x, y + 1)])
    lines = np.asarray(corner) + scale * np.asarray(edges, dtype=float).reshape(-1, 2, 2)
    for color, width in (("black", 3.0), (REGION, 1.6)):
        axes.add_collection(LineCollection(list(lines), colors=color, linewidths=width))
