"""The figures of TesNet: the concepts of a class as a basis, and the distances between the classes' subspaces.

Wang et al. 2021 draw the concepts of a class next to each other and argue that they differ; the cosines of all pairs
measure how much they do, before and after they became training patches.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure

from resemblance.data.images import Pixels
from resemblance.drawing.cut import more
from resemblance.drawing.matrix import SIGNED, Cells, Floats, draw_matrix, matrix_figure
from resemblance.drawing.sheet import picture, sheet, text
from resemblance.drawing.style import MUTED, plain
from resemblance.methods.paper_figures import FigureInputs, PaperFigure
from resemblance.methods.tesnet.model import TesNet, subspace_distances
from resemblance.methods.weighted_parts.bases import class_bases

CONCEPTS = 10  # drawn at most per class
BASES = 4  # classes whose concepts are drawn
SUBSPACES = 40  # classes in the heat map
NUMBERED = 12  # the most classes for which there is room for numbers
MARGIN = 0.3
CELL = 0.62  # side of a cell of a matrix of cosines, in inches
COSINES = Cells(SIGNED.reversed(), -1, 1, decimals=2, size=(CELL, CELL))


def basis_figure(
    bases: Sequence[tuple[str, Sequence[int], Sequence[Pixels | None], Floats]],
) -> Figure:
    """Draw the concepts of some classes, two classes per row, above the cosines of their pairs.

    Args:
        bases: name of the class, indices (K,) of its concepts, their pictures, and their cosines (K, K).

    Example:
        >>> basis_figure([("cat", [0, 1], [None, None], np.eye(2))]).savefig("basis.png")  # doctest: +SKIP
    """
    columns = min(len(bases), 2)
    block = 0.45 + max(len(indices) for _, indices, _, _ in bases) * CELL
    above, gap = 0.55 + CELL, 0.45
    starts = range(0, len(bases), columns)
    heights = [above + max(len(base[1]) for base in bases[i : i + columns]) * CELL for i in starts]
    width = 2 * MARGIN + columns * block + (columns - 1) * gap
    height = 2 * MARGIN + sum(heights) + gap * (len(heights) - 1)
    figure, axes = sheet(max(width, 4.2), height, unit=1)
    for number, (name, indices, pictures, cosines) in enumerate(bases):
        row, column = divmod(number, columns)
        left = MARGIN + column * (block + gap)
        top = MARGIN + sum(heights[:row]) + gap * row
        text(axes, left, top + 0.08, plain(name, 36), ha="left", weight="bold", size=10)
        for k, (index, image) in enumerate(zip(indices, pictures, strict=True)):
            middle = (k + 0.5) * CELL
            text(axes, left + 0.45 + middle, top + 0.36, str(index), size=7.5, color=MUTED)
            if image is not None:
                picture(axes, image, left + 0.48 + k * CELL, top + 0.51, CELL - 0.06)
            text(axes, left + 0.37, top + above + middle, str(index), ha="right", size=7.5, color=MUTED)
        draw_matrix(axes, cosines, left + 0.45, top + above, COSINES)
    return figure


def subspace_figure(names: Sequence[str], distances: Floats) -> Figure:
    """Draw the distances (C, C) between the subspaces of the named classes as a heat map."""
    numbered = len(names) <= NUMBERED
    between = np.where(np.eye(len(names), dtype=bool), np.nan, distances)
    cells = Cells(
        colormaps["viridis"],
        float(np.nanmin(between)),
        float(np.nanmax(between)),
        decimals=2 if numbered else None,
        size=(0.5, 0.5) if numbered else (0.3, 0.3),
    )
    return matrix_figure(between, names, names, cells)


def figures(model: TesNet, inputs: FigureInputs | None = None) -> dict[str, PaperFigure]:
    """Draw the bases of a few classes and the distances between the subspaces, by title.

    Args:
        model: trained; with a gallery the concepts' pictures are shown.
        inputs: not used: these figures need only the model.
    """
    owners, classes = model.prototypes.owners.cpu(), model.spec.classes
    with torch.no_grad():
        basis = model.prototypes.normalized(model.prototypes.vectors.double()).flatten(1).cpu()
        cosines = basis @ basis.T
    members = [owners[:, c].nonzero().flatten().tolist() for c in range(len(classes))]
    present = [c for c, indices in enumerate(members) if indices]
    bases = []
    for c in present[:BASES]:
        indices = members[c][:CONCEPTS]
        pictures = [None if model.gallery is None else model.gallery[j].picture for j in indices]
        bases.append((classes[c], indices, pictures, cosines[indices][:, indices].numpy()))
    mean = _mean_cosine(cosines, owners)
    caption = (
        "The concepts of a class and the cosines of their pairs: 0 is orthogonal, 1 the same direction; "
        f"over all classes the mean is {mean:.2f}."
    )
    widest = max((len(members[c]) for c in present[:BASES]), default=0)
    caption += _cut(*more(len(present) - BASES, "class", "classes"), *more(widest - CONCEPTS, "concept"))
    by_title = {"Basis concepts": PaperFigure(basis_figure(bases), caption)} if bases else {}
    shown = present[:SUBSPACES]
    if len(shown) > 1:
        distances = subspace_distances(class_bases(basis[:, None], owners)[0][shown]).numpy()
        caption = (
            "The distance between the subspaces of two classes, ‖BᵃᵀBᵃ − BᵇᵀBᵇ‖: the larger, the less their concepts "
            "have in common." + _cut(*more(len(present) - SUBSPACES, "class", "classes"))
        )
        by_title["Subspaces"] = PaperFigure(subspace_figure([classes[c] for c in shown], distances), caption)
    return by_title


def _mean_cosine(cosines: torch.Tensor, owners: torch.Tensor) -> float:
    """Compute the mean cosine of all pairs of different concepts of the same class; 0 if there is none."""
    members = owners.to(cosines.dtype)
    pairs = (members @ members.T > 0).fill_diagonal_(False)
    return float(cosines[pairs].mean()) if bool(pairs.any()) else 0.0


def _cut(*hidden: str) -> str:
    return "".join(f" {words}." for words in hidden)
