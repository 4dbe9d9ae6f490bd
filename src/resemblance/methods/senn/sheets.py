"""The sheets of SENN's figures, drawn from arrays and pictures (Alvarez-Melis and Jaakkola 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from resemblance.data.images import Pixels
from resemblance.data.inputs import pixels
from resemblance.drawing.cut import largest, more
from resemblance.drawing.matrix import SIGNED, Cells, Floats, matrix_figure
from resemblance.drawing.sheet import picture, sheet, text
from resemblance.drawing.style import AGAINST, FAINT, FOR, INK, MUTED, inches, place, plain
from resemblance.methods.senn.stability import Stability

LARGEST = 40  # concepts, and classes, that a figure shows
NUMBERED = 12  # classes and
NUMBERED_CONCEPTS = 24  # concepts up to which cells carry numbers
STEADY_IMAGES = 5
SIDE, GAP, MARGIN = 0.8, 0.08, 0.25  # inches


def concept_grid(
    examples: Mapping[int, Sequence[Pixels] | Pixels], concepts: int, names: Sequence[str]
) -> Figure:
    """A row a concept: the images in which it is strongest.

    Args:
        examples: images by concept.
        concepts: how many there are; those that are not shown are counted below.
        names: for each concept, the line below its number.
    """
    widest = max(len(images) for images in examples.values())
    columns = 1 if len(examples) <= 10 else 2
    rows = -(-len(examples) // columns)
    head, apart = max(1.0, *(inches(names[concept], 9) for concept in examples)) + 0.15, 0.3
    width = head + widest * (SIDE + GAP)
    below = MARGIN + rows * (SIDE + GAP)
    figure, axes = sheet(2 * MARGIN + columns * (width + apart) - apart, below + MARGIN + 0.3, unit=1)
    for number, (concept, images) in enumerate(examples.items()):
        column, row = divmod(number, rows)
        x, y = MARGIN + column * (width + apart), MARGIN + row * (SIDE + GAP)
        text(axes, x, y + SIDE / 2 - 0.12, f"concept {concept}", ha="left", weight="bold", size=10.5)
        text(axes, x, y + SIDE / 2 + 0.1, names[concept], ha="left", size=9, color=MUTED)
        for i, image in enumerate(images):
            picture(axes, image, x + head + i * (SIDE + GAP), y, SIDE)
    note = ["Training images in which each concept is strongest, from the left"]
    words = " · ".join(note + more(concepts - len(examples), "concept"))
    text(axes, MARGIN, below + 0.2, words, ha="left", color=MUTED)
    return figure


def contribution_matrix(means: Floats, classes: Sequence[str]) -> Figure:
    """What each concept adds to the score of each class on average: colour, and numbers where there is room.

    Args:
        means: (C, K), NaN where a class has no images.
        classes: names.
    """
    known = np.abs(np.nan_to_num(means))
    rows, columns = largest(known.max(axis=1), LARGEST), largest(known.max(axis=0), LARGEST)
    numbered = len(rows) <= NUMBERED and len(columns) <= NUMBERED_CONCEPTS
    scale = float(known.max()) or 1.0
    cells = Cells(SIGNED, -scale, scale, 1 if numbered else None, (0.44, 0.34) if numbered else (0.24, 0.24))
    note = ["Mean contribution to the score of a class over its training images"]
    note += more(len(means) - len(rows), "class", "classes") + more(means.shape[1] - len(columns), "concept")
    return matrix_figure(
        means[np.ix_(rows, columns)],
        [classes[c] for c in rows],
        [str(c) for c in columns],
        cells,
        heading="concept",
        note=" · ".join(note),
    )


def stability_figure(found: Stability, images: Tensor, classes: Sequence[str]) -> Figure:
    """A row an image: it, the noisy one that moves θ most, and θ for the predicted class at both.

    Args:
        found: of these images.
        images: (N, C, H, W).
        classes: names.
    """
    count, concepts = min(len(images), STEADY_IMAGES), min(found.theta.shape[1], LARGEST)
    chart, high = min(max(0.17 * concepts, 2.5), 6.5), SIDE + 0.55
    beside, top = MARGIN + SIDE + 0.2, 0.5
    left = beside + SIDE + 0.5
    figure, axes = sheet(left + chart + MARGIN, top + count * high + 0.15, unit=1)
    for title, x in (("image", MARGIN), ("with noise", beside)):
        text(axes, x, top - 0.13, title, ha="left", size=8, color=MUTED)
    before, after = pixels(images[:count]), pixels(found.images[:count])
    for row in range(count):
        y, predicted = top + row * high, int(found.predictions[row])
        picture(axes, before[row], MARGIN, y, SIDE)
        picture(axes, after[row], beside, y, SIDE)
        here, there = (part[row, :concepts, predicted].cpu().numpy() for part in (found.theta, found.moved))
        _relevances(place(figure, left, y, chart, SIDE), here, there)
        ratio = float(found.by_concepts[row])
        words = f"θ for {plain(classes[predicted], 20)} · largest ‖Δθ‖ / ‖Δh‖: {ratio:.3g}"
        text(axes, left, y - 0.13, words, ha="left", size=8)
    note = ["Bars: relevances of the concepts at the image; diamonds: at the noisy one"]
    words = " · ".join(note + more(found.theta.shape[1] - concepts, "concept"))
    text(axes, MARGIN, top + count * high - 0.15, words, ha="left", size=8, color=MUTED)
    return figure


def _relevances(axes: Axes, here: Floats, there: Floats) -> None:
    """Bars of the relevances at an image, and diamonds at its noisy copy."""
    positions = np.arange(len(here))
    axes.bar(positions, here, 0.75, color=[FOR if value >= 0 else AGAINST for value in here])
    axes.plot(positions, there, "D", color=INK, markersize=2.6)
    axes.axhline(0, color=FAINT, linewidth=0.8)
    reach = max(0.1, 1.15 * float(np.abs([here, there]).max()))
    axes.set_ylim(-reach, reach)
    axes.set_xlim(-0.7, len(here) - 0.3)
    axes.set_xticks(positions, [str(i) for i in positions], fontsize=5.5)
    axes.tick_params(length=0, colors=MUTED, labelsize=6)
    for spine in axes.spines.values():
        spine.set_color(FAINT)
