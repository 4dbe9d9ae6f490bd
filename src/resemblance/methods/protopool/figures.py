"""The figures of ProtoPool's paper (Rymarczyk et al. 2022): shared prototypes, and focal similarity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from resemblance.data.dataset import ImageDataset
from resemblance.data.images import Pixels
from resemblance.data.inputs import as_picture
from resemblance.drawing.cut import largest, more
from resemblance.drawing.heat import overlay
from resemblance.drawing.sharing import shared, sharing_figure
from resemblance.drawing.style import MUTED, new_figure, show, write
from resemblance.explain.prototype_view import PrototypeView, prototype_views
from resemblance.methods.paper_figures import FigureInputs, PaperFigure
from resemblance.methods.protopool.model import ProtoPool
from resemblance.methods.protopool.sheets import (
    class_figure,
    graph_figure,
    pair_figure,
    shared_figure,
)
from resemblance.prototypes.maps import upsample
from resemblance.prototypes.similarity import log_similarity, squared_distances

MARGIN, WIDE, GAP = 0.3, 1.63, 0.16
SHARED, EXAMPLES, NODES = 6, 3, 30  # the most to show


def figures(model: ProtoPool, inputs: FigureInputs) -> dict[str, PaperFigure]:
    """Draw the paper's figures of a trained model, by title.

    Args:
        model: trained, with its final assignment.
        inputs: images whose maps are drawn, and a source of examples of the classes.
    """
    owners = model.prototypes.owners.cpu().numpy()
    views, classes = prototype_views(model), model.spec.classes
    with torch.no_grad():
        weights = model.weights(model.slots.hard_assignment()).cpu().numpy()  # (C, P)
    counts = owners.sum(axis=1)
    by_title: dict[str, PaperFigure] = {}
    most = [j for j in np.argsort(-counts, kind="stable")[:SHARED].tolist() if counts[j] > 1]
    if most:
        caption = f"The {len(most)} prototypes with the most classes; each is a part of one training image."
        by_title["Prototypes that classes share"] = PaperFigure(
            shared_figure([views[j] for j in most], len(classes)), caption
        )
    caption = f"{len(views)} prototypes; {int((counts > 1).sum())} of them are in several classes."
    by_title["How many classes a prototype is in"] = PaperFigure(sharing_figure(owners), caption)

    def of(mask: NDArray[np.bool_], c: int) -> list[PrototypeView]:
        chosen = mask.nonzero()[0]
        return [views[j] for j in chosen[np.argsort(-weights[c, chosen], kind="stable")].tolist()]

    first = int(inputs.labels[0]) if len(inputs.labels) else 0
    by_title["A class and its parts"] = PaperFigure(
        class_figure(classes[first], _examples(model, inputs, first), of(owners[:, first], first)),
        "All prototypes of a class: those that its slots hold.",
    )
    between = shared(owners)
    a, b = _related(between, owners.sum(axis=0))
    one, other = owners[:, a], owners[:, b]
    by_title["Two classes and what they share"] = PaperFigure(
        pair_figure(
            (classes[a], classes[b]),
            (_examples(model, inputs, a), _examples(model, inputs, b)),
            (of(one & ~other, a), of(one & other, a), of(other & ~one, b)),
        ),
        "The two classes with the most prototypes in common.",
    )
    nodes = largest(between.sum(axis=1), NODES)
    left_out = more(len(classes) - len(nodes), "class", "classes")
    by_title["Classes that share prototypes"] = PaperFigure(
        graph_figure([classes[c] for c in nodes], between[np.ix_(nodes, nodes)]),
        "; ".join([f"The {len(nodes)} classes that share most", *left_out]) + "." if left_out else "",
    )
    if len(inputs.images) and model.config.focal:
        by_title["Plain and focal similarity"] = PaperFigure(
            focal_figure(_focal_rows(model, inputs, views)),
            "For each image, the prototype with the largest contribution. The focal similarity is the maximum of the "
            "plain map minus its mean; places below the mean are dark.",
        )
    return by_title


def _related(between: NDArray[np.int64], held: NDArray[np.int64]) -> tuple[int, int]:
    """Return the pair of classes with the most in common, if possible one in which both also have other prototypes.

    Args:
        between: (C, C), number of prototypes that two classes share.
        held: (C,), number of prototypes of each class.
    """
    upper = np.triu(np.ones_like(between, dtype=bool), k=1)
    differ = (between < held[:, None]) & (between < held[None, :])
    ranks = np.where(upper, 2 * between + 2 * held.max() * differ, -1)
    a, b = np.unravel_index(int(ranks.argmax()), ranks.shape)
    return int(a), int(b)


def _examples(model: ProtoPool, inputs: FigureInputs, c: int) -> list[Pixels]:
    """Return some images of a class; none if the source has none."""
    rows = np.flatnonzero(np.asarray(inputs.source.labels) == c)[:EXAMPLES].tolist()
    if not rows:
        return []
    batch = ImageDataset(inputs.source, model.spec.image).__getitems__(rows)
    return [as_picture(image) for image in batch.images]


def _focal_rows(
    model: ProtoPool, inputs: FigureInputs, views: Sequence[PrototypeView]
) -> list[tuple[Pixels, PrototypeView, NDArray[np.float32], float, float]]:
    images = inputs.images[:EXAMPLES].to(model.device)
    with torch.no_grad():
        output = model.eval()(images)
        weights = model.weights(model.slots.hard_assignment())[output.scores.argmax(dim=1)]
        best = (weights * output.similarities).argmax(dim=1)
        latents = output.latents.float()
        maps = torch.stack(
            [
                log_similarity(
                    squared_distances(latents[row : row + 1], model.prototypes.vectors[j : j + 1])
                )[0, 0]
                for row, j in enumerate(best.tolist())
            ]
        )
        focal = output.similarities.gather(1, best[:, None])[:, 0]
    large = upsample(maps, model.spec.image.size).cpu().numpy()
    rows = []
    for row, j in enumerate(best.tolist()):
        highest = float(maps[row].max())
        rows.append(
            (as_picture(images[row].cpu()), views[j], large[row], highest, highest - float(focal[row]))
        )
    return rows


def focal_figure(
    rows: Sequence[tuple[Pixels, PrototypeView, NDArray[np.float32], float, float]],
) -> Figure:
    """Draw images with the plain similarity map of a prototype next to the focal one (figures 2 and 4).

    Args:
        rows: image, prototype, its plain map (H, W) enlarged to the image, and the map's maximum and mean.
    """
    titles = ("image", "prototype", "plain similarity", "focal similarity")
    figure = new_figure(2 * MARGIN + 4 * (WIDE + GAP), MARGIN + 0.25 + len(rows) * (WIDE + 0.45))
    for column, title in enumerate(titles):
        write(figure, MARGIN + column * (WIDE + GAP), 0.2, title, fontweight="bold")
    for number, (pixels, view, plain_map, highest, mean) in enumerate(rows):
        y = MARGIN + 0.2 + number * (WIDE + 0.45)
        focal = (plain_map - mean).clip(min=0)
        captions = (
            "",
            f"prototype {view.index}",
            f"maximum {highest:.2f}, mean {mean:.2f}",
            f"{highest:.2f} − {mean:.2f} = {highest - mean:.2f}",
        )
        pictures = (pixels, view.source, overlay(pixels, plain_map), overlay(pixels, focal))
        for column, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
            x = MARGIN + column * (WIDE + GAP)
            show(figure, x, y, WIDE, picture, view.box if column == 1 else None)
            write(figure, x, y + WIDE + 0.05, caption, fontsize=8.5, color=MUTED)
    return figure
