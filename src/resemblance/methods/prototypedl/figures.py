"""The figures of PrototypeDL's paper, from arrays (Li et al. 2018, tables 1 and 2, figures 2 and 3).

Images are uint8 arrays (N, H, W, C) with one channel or three, as `data.inputs.pixels` returns them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from resemblance.data.inputs import pixels
from resemblance.drawing.cut import more
from resemblance.drawing.decoded import distance_table, prototype_grid, reconstructions, through_training
from resemblance.drawing.sheet import number, picture, sheet, text
from resemblance.drawing.style import AGAINST, FAINT, FOR, INK, MUTED, plain
from resemblance.methods.paper_figures import FigureInputs, PaperFigure
from resemblance.methods.prototypedl.model import PrototypeDL

SHADE = "#f6c9b4"
TABLE = 1.6  # width of the columns to the left of the weights
NUMBERS_UP_TO = 20  # the most classes for which there is room for numbers


def weight_table(
    images: np.ndarray, weights: np.ndarray, classes: Sequence[str], *, limit: int = 40
) -> Figure:
    """Draw the transposed weights with the decoded prototypes on the left; the most negative are shaded (table 1).

    The class of the most negative weight is the prototype's visual class. With more than 20 classes colours replace
    the numbers; with more than ``limit``, only the visual classes of the rows are shown.

    Args:
        images: (P, H, W, C) decoded prototypes.
        weights: (P, K), one row per prototype.
        classes: K names.
        limit: the most rows, and the most columns, to show.
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
    figure, axes = sheet(max(right, 8.0) + 0.1, header + rows + 0.9)
    for place, c in enumerate(shown):
        middle, turn = TABLE + (place + 0.5) * width, 0 if upright else 90
        text(axes, middle, header - 0.2, classes[c], weight="bold", rotation=turn, va="bottom")
    scale = float(np.abs(weights).max()) or 1.0
    for j in range(rows):
        top = header + j
        axes.plot([0, right], [top, top], color=FAINT, linewidth=0.6)
        text(axes, 0.28, top + 0.5, str(j), color=MUTED, size=8)
        picture(axes, images[j], 0.55, top + 0.05, 0.9)
        for place, c in enumerate(shown):
            _weight(
                axes, weights[j, c], scale, TABLE + place * width, top, width, bool(c == visual[j]), numbers
            )
    note = [f"{'Shaded' if numbers else 'Framed'}: the most negative weight, the prototype's visual class"]
    note += more(len(images) - rows, "prototype") + more(len(classes) - len(shown), "class", "classes")
    text(axes, 0.1, header + rows + 0.45, " · ".join(note), color=MUTED, size=8, ha="left")
    return figure


def _weight(
    axes: Axes,
    value: float,
    scale: float,
    left: float,
    top: float,
    width: float,
    visual: bool,
    numbered: bool,
) -> None:
    """Draw one cell of the table, as a number or as a colour."""
    if numbered:
        if visual:
            box = Rectangle((left + 0.03, top + 0.06), width - 0.06, 0.88, facecolor=SHADE, linewidth=0)
            axes.add_patch(box)
        text(
            axes,
            left + width / 2,
            top + 0.5,
            number(value),
            weight="bold" if visual else "normal",
            size=8.5,
        )
        return
    colour = AGAINST if value < 0 else FOR
    strength = min(abs(float(value)) / scale, 1.0)
    axes.add_patch(Rectangle((left, top), width, 1, facecolor=colour, alpha=strength, linewidth=0))
    if visual:
        axes.add_patch(Rectangle((left, top), width, 1, fill=False, edgecolor=INK, linewidth=1.2, zorder=3))


def figures(model: PrototypeDL, inputs: FigureInputs) -> dict[str, PaperFigure]:
    """Draw all figures of the paper for a trained model, by title.

    Args:
        model: trained.
        inputs: images to reconstruct, and snapshots; distances are shown for the first image.
    """
    images, snapshots = inputs.images, inputs.snapshots
    with torch.no_grad():
        output = model.eval()(images := images.to(model.device))
        reconstructed, decoded = model.reconstruct(images), pixels(model.decode(model.prototypes.vectors))
        weights = model.centred_weights.T.cpu().numpy()
    classes = model.spec.classes
    names = [classes[c] for c in weights.argmin(axis=1)]
    by_title = {
        "Prototypes, decoded": prototype_grid(decoded, names),
        "Weights of the distances": weight_table(decoded, weights, classes),
    }
    if len(images):
        predicted = classes[int(output.scores[0].argmax())]
        distances = output.extras["distances"][0].cpu().numpy()
        by_title["Distances of an image to all prototypes"] = distance_table(
            pixels(images)[0], decoded, distances, caption=f"predicted: {predicted}", names=names
        )
        by_title["Images and their reconstructions"] = reconstructions(pixels(images), pixels(reconstructed))
    if snapshots:
        by_title["Prototypes through training"] = through_training(
            [(epoch, arrays["prototypes"]) for epoch, arrays in snapshots]
        )
    return {title: PaperFigure(figure) for title, figure in by_title.items()}
