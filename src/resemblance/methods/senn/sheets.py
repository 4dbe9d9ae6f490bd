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

LARGEST = 40  # the most concepts, and the most classes, in a figure
NUMBERED = 12  # the most classes, and
NUMBERED_CONCEPTS = 24  # the most concepts, for which cells have numbers
STABILITY_IMAGES = 5
SIDE, GAP, MARGIN = 0.8, 0.08, 0.25  # inches


def concept_grid(
    examples: Mapping[int, Sequence[Pixels] | Pixels], concepts: int, names: Sequence[str]
) -> Figure:
    """Draw the images with the largest values of each concept, one row per concept.

    Args:
        examples: images by concept.
        concepts: number of all concepts; those that are not shown are counted at the bottom.
        names: for each concept, the line below its number.
    """
    widest = max(len(images) for images in examples.values())
    columns = 1 if len(examples) <= 10 else 2
    rows = -(-len(examples) // columns)
    head, gap = max(1.0, *(inches(names[concept], 9) for concept in examples)) + 0.15, 0.3
    width = head + widest * (SIDE + GAP)
    below = MARGIN + rows * (SIDE + GAP)
    figure, axes = sheet(2 * MARGIN + columns * (width + gap) - gap, below + MARGIN + 0.3, unit=1)
    for number, (concept, images) in enumerate(examples.items()):
        column, row = divmod(number, rows)
        x, y = MARGIN + column * (width + gap), MARGIN + row * (SIDE + GAP)
        text(axes, x, y + SIDE / 2 - 0.12, f"concept {concept}", ha="left", weight="bold", size=10.5)
        text(axes, x, y + SIDE / 2 + 0.1, names[concept], ha="left", size=9, color=MUTED)
        for i, image in enumerate(images):
            picture(axes, image, x + head + i * (SIDE + GAP), y, SIDE)
    note = ["Training images with the largest values of each concept, largest first"]
    words = " · ".join(note + more(concepts - len(examples), "concept"))
    text(axes, MARGIN, below + 0.2, words, ha="left", color=MUTED)
    return figure


def contribution_matrix(means: Floats, classes: Sequence[str]) -> Figure:
    """Draw the mean contribution of each concept to the score of each class, with numbers if there is room.

    Args:
        means: (C, K), NaN if a class has no images.
        classes: their names.
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


def stability_figure(stability: Stability, images: Tensor, classes: Sequence[str]) -> Figure:
    """Draw one row per image: the image, the noisy image that changes θ most, and θ of the predicted class in both.

    Args:
        stability: the stability of these images.
        images: (N, C, H, W).
        classes: their names.
    """
    count, concepts = min(len(images), STABILITY_IMAGES), min(stability.theta.shape[1], LARGEST)
    chart, high = min(max(0.17 * concepts, 2.5), 6.5), SIDE + 0.55
    noisy, top = MARGIN + SIDE + 0.2, 0.5
    left = noisy + SIDE + 0.5
    figure, axes = sheet(left + chart + MARGIN, top + count * high + 0.15, unit=1)
    for title, x in (("image", MARGIN), ("with noise", noisy)):
        text(axes, x, top - 0.13, title, ha="left", size=8, color=MUTED)
    before, after = pixels(images[:count]), pixels(stability.images[:count])
    for row in range(count):
        y, predicted = top + row * high, int(stability.predictions[row])
        picture(axes, before[row], MARGIN, y, SIDE)
        picture(axes, after[row], noisy, y, SIDE)
        theta, noisy_theta = (
            part[row, :concepts, predicted].cpu().numpy() for part in (stability.theta, stability.moved)
        )
        _relevances(place(figure, left, y, chart, SIDE), theta, noisy_theta)
        ratio = float(stability.by_concepts[row])
        words = f"θ for {plain(classes[predicted], 20)} · largest ‖Δθ‖ / ‖Δh‖: {ratio:.3g}"
        text(axes, left, y - 0.13, words, ha="left", size=8)
    note = ["Bars: relevances of the concepts in the image; diamonds: in the noisy image"]
    words = " · ".join(note + more(stability.theta.shape[1] - concepts, "concept"))
    text(axes, MARGIN, top + count * high - 0.15, words, ha="left", size=8, color=MUTED)
    return figure


def _relevances(axes: Axes, theta: Floats, noisy_theta: Floats) -> None:
    """Draw bars for the relevances at an image, and diamonds for those at its noisy copy."""
    positions = np.arange(len(theta))
    axes.bar(positions, theta, 0.75, color=[FOR if value >= 0 else AGAINST for value in theta])
    axes.plot(positions, noisy_theta, "D", color=INK, markersize=2.6)
    axes.axhline(0, color=FAINT, linewidth=0.8)
    reach = max(0.1, 1.15 * float(np.abs([theta, noisy_theta]).max()))
    axes.set_ylim(-reach, reach)
    axes.set_xlim(-0.7, len(theta) - 0.3)
    axes.set_xticks(positions, [str(i) for i in positions], fontsize=5.5)
    axes.tick_params(length=0, colors=MUTED, labelsize=6)
    for spine in axes.spines.values():
        spine.set_color(FAINT)
