"""The figures of ProtoPool's paper (Rymarczyk et al. 2022): what classes share, and what the focal similarity sees."""

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
SHARED, EXAMPLES, NODES = 6, 3, 30  # shown at most


def figures(model: ProtoPool, material: FigureInputs) -> dict[str, PaperFigure]:
    """The paper's figures of a trained model, by what they show.

    Args:
        model: trained, its assignment settled.
        material: images whose maps are drawn; the source gives examples of the classes.
    """
    owners = model.prototypes.owners.cpu().numpy()
    views, classes = prototype_views(model), model.spec.classes
    with torch.no_grad():
        weights = model.weights(model.slots.settled()).cpu().numpy()  # (C, P)
    counts = owners.sum(axis=1)
    found: dict[str, PaperFigure] = {}
    most = [j for j in np.argsort(-counts, kind="stable")[:SHARED].tolist() if counts[j] > 1]
    if most:
        caption = f"The {len(most)} prototypes that most classes hold; each is a part of one training image."
        found["Prototypes that classes share"] = PaperFigure(
            shared_figure([views[j] for j in most], len(classes)), caption
        )
    caption = f"{len(views)} prototypes; {int((counts > 1).sum())} of them are in several classes."
    found["How many classes a prototype is in"] = PaperFigure(sharing_figure(owners), caption)

    def of(mask: NDArray[np.bool_], c: int) -> list[PrototypeView]:
        chosen = mask.nonzero()[0]
        return [views[j] for j in chosen[np.argsort(-weights[c, chosen], kind="stable")].tolist()]

    first = int(material.labels[0]) if len(material.labels) else 0
    found["A class and its parts"] = PaperFigure(
        class_figure(classes[first], _examples(model, material, first), of(owners[:, first], first)),
        "The full characteristic of a class: every prototype that one of its slots holds.",
    )
    between = shared(owners)
    a, b = _related(between, owners.sum(axis=0))
    one, other = owners[:, a], owners[:, b]
    found["Two classes and what they share"] = PaperFigure(
        pair_figure(
            (classes[a], classes[b]),
            (_examples(model, material, a), _examples(model, material, b)),
            (of(one & ~other, a), of(one & other, a), of(other & ~one, b)),
        ),
        "The two classes with most prototypes in common.",
    )
    nodes = largest(between.sum(axis=1), NODES)
    left_out = more(len(classes) - len(nodes), "class", "classes")
    found["Classes that share prototypes"] = PaperFigure(
        graph_figure([classes[c] for c in nodes], between[np.ix_(nodes, nodes)]),
        "; ".join([f"The {len(nodes)} classes that share most", *left_out]) + "." if left_out else "",
    )
    if len(material.images) and model.config.focal:
        found["Plain and focal similarity"] = PaperFigure(
            focal_figure(_focal_rows(model, material, views)),
            "Of each image, the prototype that speaks most for the answer. The focal similarity is the maximum of "
            "the plain map less its mean; places below the mean are dark.",
        )
    return found


def _related(between: NDArray[np.int64], held: NDArray[np.int64]) -> tuple[int, int]:
    """The pair with most in common, among those that have something of their own if there are such.

    Args:
        between: (C, C) how many prototypes two classes share.
        held: (C,) how many each has.
    """
    upper = np.triu(np.ones_like(between, dtype=bool), k=1)
    differ = (between < held[:, None]) & (between < held[None, :])
    ranks = np.where(upper, 2 * between + 2 * held.max() * differ, -1)
    a, b = np.unravel_index(int(ranks.argmax()), ranks.shape)
    return int(a), int(b)


def _examples(model: ProtoPool, material: FigureInputs, c: int) -> list[Pixels]:
    """Some images of a class; none if the source has none."""
    rows = np.flatnonzero(np.asarray(material.source.labels) == c)[:EXAMPLES].tolist()
    if not rows:
        return []
    batch = ImageDataset(material.source, model.spec.image).__getitems__(rows)
    return [as_picture(image) for image in batch.images]


def _focal_rows(
    model: ProtoPool, material: FigureInputs, views: Sequence[PrototypeView]
) -> list[tuple[Pixels, PrototypeView, NDArray[np.float32], float, float]]:
    images = material.images[:EXAMPLES].to(model.device)
    with torch.no_grad():
        output = model.eval()(images)
        weights = model.weights(model.slots.settled())[output.scores.argmax(dim=1)]
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
    found = []
    for row, j in enumerate(best.tolist()):
        highest = float(maps[row].max())
        found.append(
            (as_picture(images[row].cpu()), views[j], large[row], highest, highest - float(focal[row]))
        )
    return found


def focal_figure(
    rows: Sequence[tuple[Pixels, PrototypeView, NDArray[np.float32], float, float]],
) -> Figure:
    """Images with the plain similarity map of a prototype beside the focal one (figures 2 and 4).

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
