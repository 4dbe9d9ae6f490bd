"""Draw the latent space in two dimensions with its prototypes, as in figure 1 of Gautam et al. 2024 (KMEx)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb, to_rgb
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from numpy.typing import NDArray

from resemblance.data.images import Pixels
from resemblance.drawing.style import INK, MUTED, new_figure, place, plain, write

LEGEND = 20  # the largest number of classes in the legend
# Colours for up to ten classes; more classes get hues around the colour circle.
TEN = (
    "#1f77b4",
    "#e6550d",
    "#2ca02c",
    "#c2185b",
    "#8c6bb1",
    "#8c564b",
    "#00a5a8",
    "#d4a800",
    "#5b6472",
    "#000000",
)


def class_colors(count: int) -> list[tuple[float, float, float]]:
    """Return as many distinct colours as there are classes.

    Example:
        >>> len(set(class_colors(10))), len(set(class_colors(200)))
        (10, 200)
    """
    if count <= len(TEN):
        return [to_rgb(color) for color in TEN[:count]]
    number = np.arange(count)
    hues = number * 0.618034 % 1.0  # the golden ratio distributes any number of hues evenly
    shades = np.array([0.95, 0.7, 0.5])[number % 3]
    return [tuple(color) for color in hsv_to_rgb(np.stack([hues, np.ones(count), shades], axis=1)).tolist()]


def latent_figure(
    embeddings: NDArray[Any],
    labels: NDArray[Any],
    prototypes: NDArray[Any],
    owners: NDArray[Any],
    classes: Sequence[str],
    importance: NDArray[Any] | None = None,
    pictures: Sequence[Pixels | None] | None = None,
    title: str = "",
    axes_name: str = "principal component",
) -> Figure:
    """Draw images as points and prototypes as squares sized by importance, in the colours of their classes.

    Args:
        embeddings: (N, 2).
        labels: (N,) class of each image.
        prototypes: (K, 2).
        owners: (K,) class of each prototype, −1 for none.
        classes: names.
        importance: (K,) share of the images to which each prototype is the most similar; None: all the same size.
            A prototype of importance 0 is an open square.
        pictures: (K,) pictures of the prototypes, drawn around the points where there is room.
        title: text above the figure.
        axes_name: the name of the two coordinates.

    Example:
        >>> points = np.random.default_rng(0).normal(size=(50, 2))
        >>> figure = latent_figure(points, np.arange(50) % 2, points[:4], np.arange(4) % 2, ["cat", "dog"])
        >>> figure.savefig("latent.png")  # doctest: +SKIP
    """
    side, legend = 6.6, 2.3
    figure = new_figure(0.7 + side + 0.3 + legend, 0.75 + side + 0.65)
    if title:
        write(figure, 0.35, 0.22, plain(title, 90), fontsize=13, fontweight="bold")
    axes = place(figure, 0.7, 0.75, side, side)
    colors = np.array(class_colors(len(classes)))
    size = float(np.clip(20000 / max(len(embeddings), 1), 2.5, 26))
    shuffled = np.random.default_rng(0).permutation(len(embeddings))  # so that no class covers the others
    points, point_labels = embeddings[shuffled], np.asarray(labels)[shuffled]
    axes.scatter(
        points[:, 0], points[:, 1], s=size, c=colors[point_labels], alpha=0.5, linewidths=0, rasterized=True
    )
    _squares(axes, prototypes, np.asarray(owners), colors, importance)
    axes.set_xlabel(f"{axes_name} 1", color=MUTED)
    axes.set_ylabel(f"{axes_name} 2", color=MUTED)
    axes.tick_params(labelsize=8, colors=MUTED)
    for side_name, spine in axes.spines.items():
        spine.set_visible(side_name in ("left", "bottom"))
        spine.set_color(MUTED)
    axes.margins(0.06)
    if pictures is not None:
        _pictures(axes, prototypes, np.asarray(owners), colors, pictures)
    _legend(figure, 0.7 + side + 0.35, classes, colors, np.asarray(labels), importance, len(prototypes))
    return figure


def _squares(
    axes: Axes,
    prototypes: NDArray[Any],
    owners: NDArray[Any],
    colors: NDArray[Any],
    importance: NDArray[Any] | None,
) -> None:
    shares = np.ones(len(prototypes)) if importance is None else np.nan_to_num(np.asarray(importance, float))
    sizes = 22 + 230 * shares / max(shares.max(initial=0.0), 1e-12)
    faces = np.where(owners[:, None] >= 0, colors[owners], 0.6)
    used = shares > 0
    # Large ones first, so that they do not cover smaller ones.
    order = np.argsort(-sizes, kind="stable")
    for chosen, edge in ((order[used[order]], "white"), (order[~used[order]], None)):
        for width, color in ((2.8, INK), (1.4, edge)):
            axes.scatter(
                prototypes[chosen, 0],
                prototypes[chosen, 1],
                s=sizes[chosen],
                marker="s",
                facecolors=faces[chosen] if edge else "white",
                edgecolors=color or faces[chosen],
                linewidths=width,
                zorder=3,
            )


def _pictures(
    axes: Axes,
    prototypes: NDArray[Any],
    owners: NDArray[Any],
    colors: NDArray[Any],
    pictures: Sequence[Pixels | None],
) -> None:
    """Draw pictures beside their squares, moved outwards, but only where they cover no other picture."""
    axes.autoscale_view()
    to_pixels = axes.transData.transform
    places = to_pixels(prototypes)
    centre = to_pixels(np.array([[np.mean(axes.get_xlim()), np.mean(axes.get_ylim())]]))[0]
    (left, bottom), (right, top) = axes.get_window_extent().get_points()
    occupied: list[NDArray[Any]] = []
    for index, picture in enumerate(pictures):
        if picture is None:
            continue
        away = places[index] - centre
        outward = float(np.arctan2(away[1], away[0]))
        for turn in (0.0, 0.5, -0.5, 1.0, -1.0, 1.6, -1.6, 2.4, -2.4, 3.1):
            spot = places[index] + 46 * np.array([np.cos(outward + turn), np.sin(outward + turn)])
            inside = left + 22 < spot[0] < right - 22 and bottom + 22 < spot[1] < top - 22
            covers = any(np.abs(spot - other).max() < 44 for other in occupied)
            if inside and not covers and np.abs(places - spot).max(axis=1).min() > 29:
                break
        else:
            continue
        occupied.append(spot)
        shown = OffsetImage(picture, zoom=30 / max(picture.shape[:2]), interpolation="nearest")
        color = colors[owners[index]] if owners[index] >= 0 else MUTED
        box = AnnotationBbox(
            shown,
            prototypes[index],
            xybox=tuple(axes.transData.inverted().transform(spot)),
            frameon=True,
            pad=0.12,
            bboxprops={"edgecolor": color, "linewidth": 1.4},
            arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.9},
        )
        box.set_zorder(4)
        axes.add_artist(box)


def _legend(
    figure: Figure,
    x: float,
    classes: Sequence[str],
    colors: NDArray[Any],
    labels: NDArray[Any],
    importance: NDArray[Any] | None,
    count: int,
) -> None:
    y = 0.85
    counts = np.bincount(labels, minlength=len(classes)) if len(labels) else np.zeros(len(classes))
    shown = list(range(len(classes)))
    if len(classes) > LEGEND:
        shown = sorted(np.argsort(-counts, kind="stable")[:LEGEND].tolist())
    for index in shown:
        write(figure, x, y, "●", color=tuple(colors[index]), fontsize=11)
        write(figure, x + 0.24, y + 0.02, plain(classes[index], 22))
        y += 0.235
    if rest := len(classes) - len(shown):
        write(figure, x + 0.24, y + 0.02, f"and {rest} more class{'es' if rest > 1 else ''}", color=MUTED)
        y += 0.235
    y += 0.15
    lines = ["● an image", "■ a prototype"] if count else ["● an image"]
    if importance is not None and count:
        lines += ["   the larger, the more images", "   it is the most similar to", "□ unused"]
    for line in lines:
        write(figure, x, y, line, color=MUTED, fontsize=8.5)
        y += 0.2
