"""The figures of TesNet: the concepts of a class as a basis, and how far apart the classes' subspaces are.

Wang et al. 2021 draw the concepts of a class beside each other and argue that they are different ones; the cosines
of all pairs say how far that holds, before and after they became training patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from resemblance.core.gallery import Pixels
from resemblance.methods.tesnet import TesNet, subspace_distances
from resemblance.report.paper import Drawn, Material
from resemblance.report.style import AGAINST, FAINT, FOR, INK, MUTED, SMALL, new_figure, place, plain

CONCEPTS = 10  # of a class, drawn at most
BASES = 4  # classes whose concepts are drawn
SUBSPACES = 40  # classes in the heat map
NUMBERED = 12  # classes up to which it has room for numbers
MARGIN = 0.3
CELL = 0.62  # inches, of a matrix of cosines
COSINES = LinearSegmentedColormap.from_list("cosines", [FOR, "white", AGAINST])


def basis_figure(
    bases: Sequence[tuple[str, Sequence[int], Sequence[Pixels | None], NDArray[np.float64]]],
) -> Figure:
    """The concepts of some classes, two classes in a row, above the cosines of their pairs.

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
    figure, sheet = _sheet(max(width, 4.2), 2 * MARGIN + sum(heights) + gap * (len(heights) - 1))
    for number, (name, indices, pictures, cosines) in enumerate(bases):
        row, column = divmod(number, columns)
        left = MARGIN + column * (block + gap)
        top = MARGIN + sum(heights[:row]) + gap * row
        _text(sheet, left, top + 0.08, plain(name, 36), ha="left", fontweight="bold", fontsize=10)
        for k, (index, pixels) in enumerate(zip(indices, pictures, strict=True)):
            middle = left + 0.45 + (k + 0.5) * CELL
            _text(sheet, middle, top + 0.36, str(index), fontsize=7.5, color=MUTED)
            if pixels is not None:
                _picture(sheet, pixels, middle, top + 0.48 + CELL / 2, CELL - 0.06)
            height = top + above + (k + 0.5) * CELL
            _text(sheet, left + 0.37, height, str(index), ha="right", fontsize=7.5, color=MUTED)
        _matrix(sheet, cosines, left + 0.45, top + above, CELL, Normalize(-1, 1), COSINES, True)
    return figure


def subspace_figure(names: Sequence[str], distances: NDArray[np.float64]) -> Figure:
    """The distances (C, C) between the subspaces of the named classes as a heat map."""
    count = len(names)
    cell = 0.5 if count <= NUMBERED else 0.3
    shown = [plain(name, 22) for name in names]
    longest = max(len(name) for name in shown)
    label, side = 0.15 + 0.075 * longest, count * cell
    figure, sheet = _sheet(max(2 * MARGIN + label + side + 1.0, 4.2), 2 * MARGIN + label + side)
    diagonal = np.eye(count, dtype=bool)
    scale = Normalize(distances[~diagonal].min(), distances[~diagonal].max())
    left = top = MARGIN + label
    values, colours = np.where(diagonal, np.nan, distances), colormaps["viridis"]
    image = _matrix(sheet, values, left, top, cell, scale, colours, count <= NUMBERED)
    for number, name in enumerate(shown):
        middle = (number + 0.5) * cell
        _text(sheet, left - 0.08, top + middle, name, ha="right", fontsize=8)
        turn = 90 if longest > 2 else 0
        _text(sheet, left + middle, top - 0.08, name, va="bottom", rotation=turn, fontsize=8)
    bar = place(figure, left + side + 0.25, top, 0.16, side)
    figure.colorbar(image, cax=bar).outline.set_visible(False)
    bar.tick_params(labelsize=8, color=MUTED, labelcolor=INK)
    return figure


def _sheet(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure and axes over all of it, in inches, downwards; axes for each picture would take seconds."""
    figure = new_figure(width, height)
    sheet = figure.add_axes((0, 0, 1, 1))
    sheet.set_axis_off()
    sheet.set_xlim(0, width)
    sheet.set_ylim(height, 0)
    sheet.set_autoscale_on(False)
    return figure, sheet


def _text(sheet: Axes, x: float, y: float, text: str, **style: Any) -> None:
    settings: dict[str, Any] = {"ha": "center", "va": "center", "color": INK, **style}
    sheet.text(x, y, text, parse_math=False, **settings)


def _picture(sheet: Axes, pixels: Pixels, x: float, y: float, side: float) -> None:
    """A picture around x, y, its longer edge as long as ``side``."""
    high, wide = (side * edge / max(pixels.shape[:2]) / 2 for edge in pixels.shape[:2])
    smooth = "nearest" if max(pixels.shape[:2]) <= SMALL else "bilinear"
    extent = (x - wide, x + wide, y + high, y - high)
    sheet.imshow(pixels, extent=extent, interpolation=smooth, aspect="auto")
    corner = (x - wide, y - high)
    sheet.add_patch(Rectangle(corner, 2 * wide, 2 * high, fill=False, edgecolor=FAINT, linewidth=0.6))


def _matrix(
    sheet: Axes,
    values: NDArray[np.float64],
    left: float,
    top: float,
    cell: float,
    scale: Normalize,
    colours: Colormap,
    numbers: bool,
) -> AxesImage:
    """A square matrix as colours, with its numbers where there is room."""
    palette, side = colours.with_extremes(bad="white"), len(values) * cell
    extent = (left, left + side, top + side, top)
    image = sheet.imshow(
        values, cmap=palette, norm=scale, extent=extent, interpolation="nearest", aspect="auto"
    )
    for row, column in np.argwhere(~np.isnan(values)) if numbers else ():
        value = values[row, column]
        red, green, blue, _ = palette(scale(value))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        number = f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")
        x, y = left + (column + 0.5) * cell, top + (row + 0.5) * cell
        _text(sheet, x, y, number, fontsize=7, color="white" if dark else INK)
    return image


def figures(model: TesNet, material: Material | None = None) -> dict[str, Drawn]:
    """The bases of a few classes and the distances between the subspaces, by title.

    Args:
        model: trained; with a gallery the concepts' pictures are shown.
        material: what other methods draw from; the concepts say everything themselves.
    """
    owners, classes = model.prototypes.owners.cpu(), model.spec.classes
    with torch.no_grad():
        basis = model.effective(model.prototypes.vectors.double()).flatten(1).cpu()
        cosines = basis @ basis.T
    members = [owners[:, c].nonzero().flatten().tolist() for c in range(len(classes))]
    present = [c for c, indices in enumerate(members) if indices]
    bases = []
    for c in present[:BASES]:
        indices = members[c][:CONCEPTS]
        pictures = [None if model.gallery is None else model.gallery[j].picture for j in indices]
        bases.append((classes[c], indices, pictures, cosines[indices][:, indices].numpy()))
    off = _mean_cosine(cosines, owners)
    caption = (
        "The concepts of a class and the cosines of their pairs: 0 is orthogonal, 1 the same direction; "
        f"over all classes the mean is {off:.2f}."
    )
    caption += _rest(len(present) - BASES, "class", "classes")
    caption += _rest(
        max((len(members[c]) for c in present[:BASES]), default=0) - CONCEPTS, "concept", "concepts"
    )
    found = {"Basis concepts": Drawn(basis_figure(bases), caption)} if bases else {}
    shown = present[:SUBSPACES]
    if len(shown) > 1:
        distances = subspace_distances(cosines, owners)[shown][:, shown].numpy()
        caption = (
            "The distance of each two classes' subspaces, ‖BᵃᵀBᵃ − BᵇᵀBᵇ‖: the larger, the less their concepts "
            "have in common." + _rest(len(present) - SUBSPACES, "class", "classes")
        )
        found["Subspaces"] = Drawn(subspace_figure([classes[c] for c in shown], distances), caption)
    return found


def _mean_cosine(cosines: torch.Tensor, owners: torch.Tensor) -> float:
    """Over all pairs of different concepts of the same class; 0 where there is none."""
    members = owners.to(cosines.dtype)
    pairs = (members @ members.T > 0).fill_diagonal_(False)
    return float(cosines[pairs].mean()) if bool(pairs.any()) else 0.0


def _rest(count: int, one: str, many: str) -> str:
    return f" {count} more {one if count == 1 else many} not drawn." if count > 0 else ""
