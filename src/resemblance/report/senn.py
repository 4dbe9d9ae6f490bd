"""The figures of SENN's paper: what concepts stand for, what they do for classes, how steady relevances are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from resemblance.core.gallery import Pixels
from resemblance.data.dataset import ImageDataset
from resemblance.data.source import Source
from resemblance.methods.senn import SENN
from resemblance.report.paper import Drawn, Material
from resemblance.report.style import (
    AGAINST,
    FAINT,
    FOR,
    INK,
    MUTED,
    SMALL,
    new_figure,
    place,
    plain,
    show,
    write,
)

LARGEST = 40  # concepts, and classes, that a figure shows
NUMBERED = 12  # classes and
NUMBERED_CONCEPTS = 24  # concepts up to which cells carry numbers
STEADY_IMAGES = 5
SIDE, GAP, MARGIN = 0.8, 0.08, 0.25  # inches
SIGNED = LinearSegmentedColormap.from_list("signed", [AGAINST, "white", FOR])
Floats = NDArray[np.floating[Any]]


def pixels(images: Tensor) -> list[Pixels]:
    """Images (N, C, H, W) in [0, 1] as uint8 arrays (H, W, 3)."""
    levels = images.detach().float().clamp(0, 1).mul(255).round().byte().cpu()
    return list(levels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy())


@torch.no_grad()
def top_images(model: SENN, train: Source, limit: int = LARGEST) -> dict[int, Tensor]:
    """The training images (n, C, H, W) in which each concept is strongest, largest first.

    Args:
        model: trained.
        train: the training images.
        limit: concepts looked at.

    Returns:
        By concept; empty if these are not the images that the model was trained on.
    """
    examples = model.examples[:limit].cpu()
    wanted = sorted(set(examples[examples >= 0].tolist()))
    if not wanted or wanted[-1] >= len(train):
        return {}
    data = ImageDataset(train, model.spec.image)
    parts = [data.__getitems__(wanted[start : start + 128]).images for start in range(0, len(wanted), 128)]
    images = torch.cat(parts)
    h = torch.cat([model.embed(model.latents(part.to(model.device))).cpu() for part in parts])
    strengths, sources = h.amax(dim=0), model.prototypes.source_index.cpu()
    found = {}
    for concept, row in enumerate(examples.tolist()):
        rows = [wanted.index(index) for index in row if index >= 0]
        # Other images of the same number would hardly come in this order, the source first.
        values = h[rows, concept]
        slack = 1e-3 * float(values.abs().max()) + 1e-6
        if row[0] != sources[concept] or bool((values.diff() > slack).any()):
            return {}
        if float(strengths[concept] - values[0]) > slack:
            return {}
        found[concept] = images[rows]
    return found


def concept_grid(examples: dict[int, list[Pixels]], concepts: int, names: Sequence[str]) -> Figure:
    """A row a concept: the images in which it is strongest.

    Args:
        examples: images by concept.
        concepts: how many there are; those that are not shown are counted below.
        names: for each concept, the line below its number.
    """
    widest = max(len(images) for images in examples.values())
    columns = 1 if len(examples) <= 10 else 2
    rows = -(-len(examples) // columns)
    head = 1.75
    width = head + widest * (SIDE + GAP) + MARGIN
    figure = new_figure(MARGIN + columns * width, 2 * MARGIN + rows * (SIDE + GAP) + 0.3)
    for place_, (concept, images) in enumerate(examples.items()):
        column, row = divmod(place_, rows)
        x, y = MARGIN + column * width, MARGIN + row * (SIDE + GAP)
        write(figure, x, y + SIDE / 2 - 0.18, f"concept {concept}", fontweight="bold")
        write(figure, x, y + SIDE / 2 + 0.02, names[concept], fontsize=7.5, color=MUTED)
        _row(figure, x + head, y, widest, images)
    note = "Training images in which each concept is strongest, from the left"
    if len(examples) < concepts:
        note += f" · {concepts - len(examples)} more concepts not shown"
    write(figure, MARGIN, MARGIN + rows * (SIDE + GAP) + 0.1, note, fontsize=8, color=MUTED)
    return figure


def _row(figure: Figure, x: float, y: float, places: int, images: Sequence[Pixels]) -> None:
    """Images of one size side by side, as one picture: hundreds of axes would take seconds."""
    height, width = images[0].shape[:2]
    gap = max(1, round(GAP / SIDE * width))
    sheet = np.full((height, places * (width + gap) - gap, 3), 255, np.uint8)
    for place_, image in enumerate(images):
        sheet[:, place_ * (width + gap) : place_ * (width + gap) + width] = image
    axes = place(figure, x, y, places * (SIDE + GAP) - GAP, SIDE)
    axes.set_axis_off()
    axes.imshow(sheet, interpolation="nearest" if max(height, width) <= SMALL else "bilinear")
    axes.set_anchor("W")


def contribution_matrix(means: Floats, classes: Sequence[str]) -> Figure:
    """What each concept adds to the score of each class on average: colour, and numbers where there is room.

    Args:
        means: (C, K), NaN where a class has no images.
        classes: names.
    """
    known = np.nan_to_num(means)
    rows = _largest(np.abs(known).max(axis=1), LARGEST)
    columns = _largest(np.abs(known).max(axis=0), LARGEST)
    shown = means[np.ix_(rows, columns)]
    names = [plain(classes[c], 20) for c in rows]
    numbered = len(rows) <= NUMBERED and len(columns) <= NUMBERED_CONCEPTS
    wide, high = (0.46, 0.32) if numbered else (0.22, 0.2)
    left = 0.45 + 0.085 * max(map(len, names))
    width, height = wide * len(columns), high * len(rows)
    figure = new_figure(left + max(width, 3.6) + 1.1, 0.3 + height + 0.85)
    axes = place(figure, left, 0.3, width, height)
    scale = float(np.abs(known).max()) or 1.0
    picture = axes.imshow(
        np.ma.masked_invalid(shown),
        cmap=SIGNED,
        vmin=-scale,
        vmax=scale,
        aspect="auto",
        interpolation="nearest",
    )
    axes.set_xticks(range(len(columns)), [str(c) for c in columns], fontsize=7)
    axes.set_yticks(range(len(rows)), names, fontsize=8.5)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.set_xlabel("concept", color=MUTED, fontsize=8.5)
    axes.tick_params(length=0, colors=INK)
    for spine in axes.spines.values():
        spine.set_color(FAINT)
    if numbered:
        for (row, column), value in np.ndenumerate(shown):
            if np.isfinite(value):
                color = "white" if abs(value) > 0.6 * scale else INK
                text = f"{value:.1f}".replace("-0.0", "0.0").replace("-", "−")
                axes.text(column, row, text, ha="center", va="center", fontsize=6.5, color=color)
    bar = figure.colorbar(picture, cax=place(figure, left + width + 0.15, 0.3, 0.13, max(height, 0.9)))
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)
    hidden = [
        f"{count} more {what} not shown"
        for count, what in ((len(means) - len(rows), "classes"), (means.shape[1] - len(columns), "concepts"))
        if count
    ]
    note = "Mean contribution to the score of a class over its training images"
    write(figure, 0.2, 0.3 + height + 0.5, " · ".join([note, *hidden]), fontsize=8, color=MUTED)
    return figure


def _largest(values: Floats, count: int) -> list[int]:
    """The indices of the largest values, in ascending order."""
    return sorted(np.argsort(-values, kind="stable")[:count].tolist())


def reconstruction_rows(images: Sequence[Pixels], reconstructed: Sequence[Pixels]) -> Figure:
    """Images above, what the decoder makes of their concepts below."""
    head = 1.25
    figure = new_figure(MARGIN + head + len(images) * (SIDE + GAP) + MARGIN, 2 * MARGIN + 2 * (SIDE + GAP))
    for row, (label, shown) in enumerate((("image", images), ("reconstruction", reconstructed))):
        y = MARGIN + row * (SIDE + GAP)
        write(figure, MARGIN, y + SIDE / 2, label, fontsize=8.5, color=MUTED, va="center")
        _row(figure, MARGIN + head, y, len(images), shown)
    return figure


@dataclass(frozen=True)
class Stability:
    """How far relevances move when images do, a little.

    Args:
        by_concepts: (N,) the largest ‖θ(x) − θ(z)‖ / ‖h(x) − h(z)‖ found.
        by_pixels: (N,) the largest ‖θ(x) − θ(z)‖ / ‖x − z‖ found.
        images: (N, C, H, W) the z of the former.
        theta: (N, K, C) relevances at x.
        moved: (N, K, C) relevances at that z.
        predictions: (N,) at x.
    """

    by_concepts: Tensor
    by_pixels: Tensor
    images: Tensor
    theta: Tensor
    moved: Tensor
    predictions: Tensor


@torch.no_grad()
def local_stability(
    model: SENN, images: Tensor, *, radius: float = 0.1, draws: int = 50, seed: int = 0
) -> Stability:
    """Estimate local Lipschitz constants of θ, against h as in the paper, and against the pixels.

    The largest ratio over images z with each pixel moved by at most ``radius``. They are drawn at random, the
    paper searches for the worst: the figures here are lower bounds of its.

    Args:
        model: in evaluation mode.
        images: (N, C, H, W) in [0, 1].
        radius: in units of [0, 1].
        draws: how many z an image.
        seed: of the draws.
    """
    generator = torch.Generator().manual_seed(seed)
    images = images.to(model.device)
    output = model(images)
    h, theta = output.latents[:, : model.config.concepts], output.extras["theta"]
    best = torch.full((len(images),), -1.0, device=model.device)
    pixelwise, worst, moved = best.clone(), images.clone(), theta.clone()
    for _ in range(draws):
        noise = torch.rand(images.shape, generator=generator).to(images) * 2 - 1
        z = (images + radius * noise).clamp(0, 1)
        there = model(z)
        way = (there.extras["theta"] - theta).flatten(1).norm(dim=1)
        ratio = way / (there.latents[:, : model.config.concepts] - h).norm(dim=1).clamp_min(1e-12)
        better = ratio > best
        best = torch.where(better, ratio, best)
        pixelwise = torch.maximum(pixelwise, way / (z - images).flatten(1).norm(dim=1).clamp_min(1e-12))
        worst = torch.where(better[:, None, None, None], z, worst)
        moved = torch.where(better[:, None, None], there.extras["theta"], moved)
    return Stability(best, pixelwise, worst, theta, moved, output.scores.argmax(dim=1))


def stability_figure(found: Stability, images: Tensor, classes: Sequence[str]) -> Figure:
    """A row an image: it, the noisy one that moves θ most, and θ for the predicted class at both.

    Args:
        found: of these images.
        images: (N, C, H, W).
        classes: names.
    """
    count, concepts = min(len(images), STEADY_IMAGES), min(found.theta.shape[1], LARGEST)
    chart, high = min(max(0.17 * concepts, 2.5), 6.5), SIDE + 0.62
    left = MARGIN + 2 * (SIDE + 0.2) + 0.5
    figure = new_figure(left + chart + MARGIN, 0.45 + count * high + 0.3)
    for title, x in (("image", MARGIN), ("with noise", MARGIN + SIDE + 0.2)):
        write(figure, x, 0.15, title, fontsize=8.5, color=MUTED)
    before, after = pixels(images[:count]), pixels(found.images[:count])
    positions = np.arange(concepts)
    for row in range(count):
        y = 0.45 + row * high
        show(figure, MARGIN, y, SIDE, before[row])
        show(figure, MARGIN + SIDE + 0.2, y, SIDE, after[row])
        predicted = int(found.predictions[row])
        values = [part[row, :concepts, predicted].cpu().numpy() for part in (found.theta, found.moved)]
        axes = place(figure, left, y, chart, SIDE)
        axes.bar(positions, values[0], 0.75, color=[FOR if value >= 0 else AGAINST for value in values[0]])
        axes.plot(positions, values[1], "D", color=INK, markersize=2.6)
        axes.axhline(0, color=FAINT, linewidth=0.8)
        largest = max(0.1, 1.15 * max(float(np.abs(part).max()) for part in values))
        axes.set_ylim(-largest, largest)
        axes.set_xlim(-0.7, concepts - 0.3)
        axes.set_xticks(positions, [str(i) for i in positions], fontsize=5.5)
        axes.tick_params(length=0, colors=MUTED, labelsize=6)
        for spine in axes.spines.values():
            spine.set_color(FAINT)
        ratio = float(found.by_concepts[row])
        text = f"θ for {plain(classes[predicted], 20)} · largest ‖Δθ‖ / ‖Δh‖: {ratio:.3g}"
        write(figure, left, y - 0.18, text, fontsize=8, color=INK)
    note = "Bars: relevances of the concepts at the image; diamonds: at the noisy one"
    if concepts < found.theta.shape[1]:
        note += f" · {found.theta.shape[1] - concepts} more concepts not shown"
    write(figure, MARGIN, 0.45 + count * high, note, fontsize=8, color=MUTED)
    return figure


def figures(model: SENN, material: Material) -> dict[str, Drawn]:
    """All figures of a trained model, by what they show.

    Args:
        model: trained.
        material: images to reconstruct and to shake, and the training images, if they are at hand.
    """
    model.eval()
    means = model.mean_contributions.cpu().numpy()
    concepts, classes = model.config.concepts, model.spec.classes
    found: dict[str, Drawn] = {}
    examples = {} if material.train is None else top_images(model, material.train)
    if examples:
        names = [_speaks_for(means[:, concept], classes) for concept in range(concepts)]
        shown = {concept: pixels(images) for concept, images in examples.items()}
        found["Concepts"] = Drawn(concept_grid(shown, concepts, names))
    if np.isfinite(means).any():
        found["What concepts do for classes"] = Drawn(contribution_matrix(means, classes))
    if len(material.images):
        images = material.images.to(model.device)
        with torch.no_grad():
            back = model.reconstruct(images)
        caption = ""
        if not model.decoder_is_trained:
            caption = (
                "The decoder is untrained: as in the authors' code, the gradient penalty stands in the place "
                "of the reconstruction error."
            )
        found["Images and their reconstructions"] = Drawn(
            reconstruction_rows(pixels(images), pixels(back)), caption
        )
        steady = local_stability(model, images)
        medians = (float(part.median()) for part in (steady.by_concepts, steady.by_pixels))
        found["Stability of the relevances"] = Drawn(
            stability_figure(steady, images, classes),
            "Local Lipschitz estimates, the largest ratio over 50 random images with every pixel within 0.1: "
            "median over {} images {:.3g} against the concepts and {:.3g} against the pixels.".format(
                len(images), *medians
            ),
        )
    return found


def _speaks_for(means: Floats, classes: Sequence[str]) -> str:
    """The class that a concept adds most to, in a few words."""
    if not np.isfinite(means).any():
        return ""
    best = int(np.nanargmax(means))
    if means[best] <= 0:
        return "adds to no class"
    return f"most for {plain(classes[best], 12)}: {means[best]:+.2g}"
