"""The sheets of FLINT's figures, drawn from arrays and pictures (Parekh et al. 2021, section 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from resemblance.core.gallery import Pixels
from resemblance.report.style import AGAINST, FAINT, FOR, INK, MUTED, new_figure, place, plain, show, write
from resemblance.training.relevance import FACTORS

SIDE, GAP, MARGIN = 0.8, 0.08, 0.3
COLOURS = LinearSegmentedColormap.from_list("relevance", [AGAINST, "white", FOR])


def relevance_matrix(
    relevance: Tensor, classes: Sequence[str], threshold: float, *, rows: int = 30, columns: int = 60
) -> Figure:
    """Class-attribute relevance: a row a class, a column an attribute, pairs above the threshold framed.

    Args:
        relevance: (C, J) in [−1, 1].
        classes: C names.
        threshold: see there.
        rows: classes shown at most, the first ones.
        columns: attributes shown at most, those of the largest relevance to a class shown.
    """
    shown = relevance[:rows]
    kept = shown.amax(dim=0).argsort(descending=True, stable=True)[:columns].sort().values
    shown = shown[:, kept]
    names = [plain(name, 18) for name in classes[:rows]]
    left, cell = 0.35 + 0.075 * max(map(len, names)), 0.26
    wide, high = cell * shown.shape[1], cell * len(shown)
    hidden = [
        f"{count} more {word}"
        for count, word in (
            (len(relevance) - len(shown), "classes"),
            (relevance.shape[1] - len(kept), "attributes"),
        )
        if count > 0
    ]
    note = f"framed: above {threshold:g}" + "".join(f" · {text}" for text in hidden)
    figure = new_figure(max(left + wide + 0.95, 4.6), high + 1.15)
    axes = place(figure, left, 0.55, wide, high)
    axes.imshow(shown.cpu().numpy(), cmap=COLOURS, vmin=-1, vmax=1, aspect="auto")
    axes.set_yticks(range(len(names)), names, fontsize=8, color=INK, parse_math=False)
    every = 1 if shown.shape[1] <= 40 else 2
    ticks = range(0, len(kept), every)
    axes.set_xticks(ticks, [str(int(kept[t])) for t in ticks], fontsize=7, color=MUTED, rotation=90)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_color(FAINT)
    for c, j in (shown > threshold).nonzero().tolist():
        axes.add_patch(Rectangle((j - 0.46, c - 0.46), 0.92, 0.92, fill=False, edgecolor=INK, linewidth=0.8))
    write(figure, left, 0.1, "attribute", color=MUTED, fontsize=8)
    write(figure, left, high + 0.7, note, color=MUTED, fontsize=8)
    scale = place(figure, left + wide + 0.2, 0.55, 0.14, min(high, 2.0))
    scale.imshow(np.linspace(1, -1, 64)[:, None], cmap=COLOURS, vmin=-1, vmax=1, aspect="auto")
    scale.set_xticks([])
    scale.set_yticks([0, 31.5, 63], ["1", "0", "−1"], fontsize=7, color=MUTED)
    scale.yaxis.tick_right()
    scale.tick_params(length=0)
    return figure


def attribute_sheet(
    rows: Sequence[tuple[str, float, Sequence[Pixels], Pixels]], note: str = "", *, count: int = 3
) -> Figure:
    """Attributes by the class images in which they are strongest, and what strengthens them.

    Args:
        rows: title, relevance, at most ``count`` images, and the maximised one, made from the first.
        note: below.
        count: images a row.
    """
    text, block = 1.75, 1.75 + (count + 1) * (SIDE + GAP) + 0.55
    columns = 1 if len(rows) < 4 else 2
    high = -(-len(rows) // columns)
    figure = new_figure(2 * MARGIN + columns * block - 0.45, MARGIN + 0.3 + high * (SIDE + GAP) + 0.45)
    for column in range(min(columns, len(rows))):
        x = MARGIN + column * block + text
        write(figure, x, MARGIN - 0.08, "strongest in", color=MUTED, fontsize=8)
        write(figure, x + count * (SIDE + GAP) + 0.1, MARGIN - 0.08, "maximised", color=MUTED, fontsize=8)
    for number, (title, relevance, images, maximised) in enumerate(rows):
        x, y = MARGIN + number // high * block, MARGIN + 0.2 + number % high * (SIDE + GAP)
        name, _, rest = title.partition("\n")
        write(figure, x, y + 0.14, plain(name, 20), fontweight="bold")
        write(figure, x, y + 0.34, plain(rest, 24), fontsize=8.5)
        write(figure, x, y + 0.52, f"relevance {relevance:.2f}", color=MUTED, fontsize=8)
        for i, image in enumerate(images):
            show(figure, x + text + i * (SIDE + GAP), y, SIDE, image)
        show(figure, x + text + count * (SIDE + GAP) + 0.1, y, SIDE, maximised)
    write(figure, MARGIN, MARGIN + 0.3 + high * (SIDE + GAP), note, color=MUTED, fontsize=8)
    return figure


def local_sheet(
    rows: Sequence[tuple[str, Pixels, Sequence[tuple[int, float, Pixels]]]], note: str = "", *, count: int = 3
) -> Figure:
    """Local explanations: an image, its most relevant attributes, and each of them maximised from this image.

    Args:
        rows: title, image, and attribute, relevance and picture of each attribute.
        note: below.
        count: attributes a row.
    """
    step, bar = SIDE + 0.45, 1.7
    line = SIDE + 0.38
    figure = new_figure(2 * MARGIN + SIDE + 0.75 + bar + 0.3 + count * step, MARGIN + len(rows) * line + 0.3)
    for number, (title, image, found) in enumerate(rows):
        y = MARGIN + number * line
        show(figure, MARGIN, y, SIDE, image)
        write(figure, MARGIN, y + SIDE + 0.03, plain(title, 22), fontsize=8)
        axes = place(figure, MARGIN + SIDE + 0.75, y, bar, SIDE)
        values = [relevance for _, relevance, _ in found]
        axes.barh(range(len(found)), values, color=FOR, height=0.7)
        axes.set_yticks(range(len(found)), [f"φ {j}" for j, _, _ in found], fontsize=8, color=INK)
        axes.set_ylim(count - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"], fontsize=7, color=MUTED)
        axes.tick_params(length=0)
        for side, spine in axes.spines.items():
            spine.set_visible(side == "left")
            spine.set_color(FAINT)
        for i, (j, _, picture) in enumerate(found):
            x = MARGIN + SIDE + 0.75 + bar + 0.3 + i * step
            show(figure, x, y, SIDE, picture)
            write(figure, x, y + SIDE + 0.03, f"φ {j}, maximised", fontsize=8, color=MUTED)
    write(figure, MARGIN, MARGIN + len(rows) * line, note, color=MUTED, fontsize=8)
    return figure


def conciseness_curve(counts: Sequence[float], factors: Sequence[float] = FACTORS) -> Figure:
    """How many attributes an image needs, on average, by the factor τ below the largest contribution."""
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
