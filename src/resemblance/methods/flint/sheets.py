"""The sheets of FLINT's figures, drawn from arrays and pictures (Parekh et al. 2021, section 4)."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from resemblance.data.images import Pixels
from resemblance.drawing.cut import largest, more
from resemblance.drawing.matrix import SIGNED, Cells, matrix_figure
from resemblance.drawing.sheet import picture, sheet, text
from resemblance.drawing.style import FAINT, FOR, INK, MUTED, new_figure, place, plain
from resemblance.methods.flint.relevance import FACTORS

SIDE, GAP, MARGIN = 0.8, 0.08, 0.3


def relevance_matrix(
    relevance: Tensor, classes: Sequence[str], threshold: float, *, rows: int = 30, columns: int = 60
) -> Figure:
    """Draw the relevance of attributes to classes: one row per class, one column per attribute.

    Args:
        relevance: (C, J) in [−1, 1].
        classes: C names.
        threshold: pairs with a relevance above it are framed.
        rows: the most classes to show, the first ones.
        columns: the most attributes to show, those with the largest relevance to a class that is shown.
    """
    of_classes = relevance[:rows].cpu().numpy()
    kept = largest(of_classes.max(axis=0), columns)
    shown = of_classes[:, kept]
    note = [f"framed: above {threshold:g}", *more(len(relevance) - len(shown), "class", "classes")]
    return matrix_figure(
        shown,
        classes[:rows],
        [str(j) for j in kept],
        Cells(SIGNED, -1, 1),
        heading="attribute",
        note=" · ".join(note + more(relevance.shape[1] - len(kept), "attribute")),
        framed=shown > threshold,
    )


def attribute_sheet(
    rows: Sequence[tuple[str, float, Sequence[Pixels] | Pixels, Pixels]], note: str = "", *, count: int = 3
) -> Figure:
    """Draw attributes by the images of a class with their largest activations, and the maximised images.

    Args:
        rows: title, relevance, at most ``count`` images, and the maximised image, which was made from the first.
        note: text at the bottom.
        count: images per row.
    """
    words, block = 1.75, 1.75 + (count + 1) * (SIDE + GAP) + 0.55
    columns = 1 if len(rows) < 4 else 2
    high = -(-len(rows) // columns)
    below = MARGIN + 0.3 + high * (SIDE + GAP)
    figure, axes = sheet(2 * MARGIN + columns * block - 0.45, below + (0.45 if note else 0.15), unit=1)
    for column in range(min(columns, len(rows))):
        x = MARGIN + column * block + words
        for left, title in ((x, "strongest in"), (x + count * (SIDE + GAP) + 0.1, "maximised")):
            text(axes, left, MARGIN, title, ha="left", color=MUTED, size=8)
    for number, (title, relevance, images, maximised) in enumerate(rows):
        x, y = MARGIN + number // high * block, MARGIN + 0.2 + number % high * (SIDE + GAP)
        name, _, rest = title.partition("\n")
        text(axes, x, y + 0.2, plain(name, 20), ha="left", weight="bold")
        text(axes, x, y + 0.4, plain(rest, 24), ha="left", size=8.5)
        text(axes, x, y + 0.58, f"relevance {relevance:.2f}", ha="left", color=MUTED, size=8)
        for i, image in enumerate(images):
            picture(axes, image, x + words + i * (SIDE + GAP), y, SIDE)
        picture(axes, maximised, x + words + count * (SIDE + GAP) + 0.1, y, SIDE)
    text(axes, MARGIN, below + 0.08, note, ha="left", color=MUTED, size=8)
    return figure


def local_sheet(
    rows: Sequence[tuple[str, Pixels, Sequence[tuple[int, float, Pixels]]]], note: str = "", *, count: int = 3
) -> Figure:
    """Draw local explanations: an image, its most relevant attributes, and the image changed to increase each of them.

    Args:
        rows: title, image, and for each attribute its number, relevance and maximised image.
        note: text at the bottom.
        count: attributes per row.
    """
    step, bar, line = SIDE + 0.45, 1.7, SIDE + 0.38
    middle = MARGIN + SIDE + 0.75
    right = middle + bar + 0.3
    figure, axes = sheet(right + count * step + MARGIN, MARGIN + len(rows) * line + 0.3, unit=1)
    for number, (title, image, attributes) in enumerate(rows):
        y = MARGIN + number * line
        picture(axes, image, MARGIN, y, SIDE)
        text(axes, MARGIN, y + SIDE + 0.1, plain(title, 22), ha="left", size=8)
        _bars(place(figure, middle, y, bar, SIDE), [(j, relevance) for j, relevance, _ in attributes], count)
        for i, (j, _, maximised) in enumerate(attributes):
            x = right + i * step
            picture(axes, maximised, x, y, SIDE)
            text(axes, x, y + SIDE + 0.1, f"φ {j}, maximised", ha="left", size=8, color=MUTED)
    text(axes, MARGIN, MARGIN + len(rows) * line + 0.08, note, ha="left", color=MUTED, size=8)
    return figure


def _bars(axes: Axes, relevances: Sequence[tuple[int, float]], count: int) -> None:
    """Draw attributes and their relevances, from 0 to 1."""
    axes.barh(range(len(relevances)), [relevance for _, relevance in relevances], color=FOR, height=0.7)
    axes.set_yticks(range(len(relevances)), [f"φ {j}" for j, _ in relevances], fontsize=8, color=INK)
    axes.set_ylim(count - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"], fontsize=7, color=MUTED)
    axes.tick_params(length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "left")
        spine.set_color(FAINT)


def conciseness_curve(counts: Sequence[float], factors: Sequence[float] = FACTORS) -> Figure:
    """Draw the mean number of attributes per image that exceed 1/τ of the largest contribution, against τ."""
    figure = new_figure(4.6, 3.0)
    axes = place(figure, 0.7, 0.25, 3.6, 2.1)
    axes.plot(factors, counts, color=FOR, marker="o", markersize=4)
    axes.set_xlabel("τ", fontsize=9, color=INK)
    axes.set_ylabel("attributes above 1/τ", fontsize=9, color=INK)
    axes.set_ylim(0, max(*counts, 1) * 1.1)
    axes.tick_params(labelsize=8, colors=MUTED)
    axes.grid(color=FAINT, linewidth=0.6)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(FAINT)
    return figure
