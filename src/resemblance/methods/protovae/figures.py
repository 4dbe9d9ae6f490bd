"""The figures of ProtoVAE's paper (Gautam et al. 2022, figures 2 to 4, supplement figures 2, 7 and 16)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from resemblance.data.inputs import pixels
from resemblance.drawing.cut import more
from resemblance.drawing.decoded import distance_table, reconstructions, through_training
from resemblance.drawing.sheet import labelled_rows, picture, sheet, text
from resemblance.drawing.style import MUTED, plain
from resemblance.methods.paper_figures import FigureInputs, PaperFigure
from resemblance.methods.protovae.model import ProtoVAE

STEPS = 6  # between an image and a prototype


def class_grid(
    images: np.ndarray, owners: np.ndarray, classes: Sequence[str], *, rows: int = 40, columns: int = 20
) -> Figure:
    """Draw the decoded prototypes, one row per class.

    Args:
        images: (P, H, W, C) decoded prototypes.
        owners: (P,), the class of each.
        classes: the K names.
        rows: the most classes to show.
        columns: the most prototypes to show per class.
    """
    shown = min(len(classes), rows)
    lines = [(plain(classes[c], 20), images[np.flatnonzero(owners == c)[:columns]]) for c in range(shown)]
    most = int(np.bincount(owners, minlength=1).max()) if len(owners) else 0
    left_out = more(len(classes) - shown, "class", "classes")
    left_out += [f"the first {columns} prototypes of each class, of up to {most}"] if most > columns else []
    return labelled_rows(lines, note="; ".join(left_out))


def paths(rows: Sequence[np.ndarray], names: Sequence[str]) -> Figure:
    """Draw paths in the latent space from images to their nearest prototypes, decoded.

    Args:
        rows: each (1 + n, H, W, C): the image, then n decoded points from its mean to its prototype.
        names: the names of the prototypes' classes, shown on the right.
    """
    names = [plain(name, 20) for name in names]
    high, columns = 1.05, len(rows[0])
    width = 0.3 + columns + 0.5 + 0.13 * max(len(name) for name in names)
    figure, axes = sheet(width, 0.75 + len(rows) * high)
    for column, head in ((0, "image"), (1, "decoded"), (columns - 1, "prototype")):
        text(axes, 0.1 + column * 1.0 + (0.2 if column else 0) + 0.48, 0.35, head, size=8, color=MUTED)
    for i, images in enumerate(rows):
        top = 0.7 + i * high
        for column, image in enumerate(images):
            picture(axes, image, 0.1 + column + (0.2 if column else 0), top, 0.95)
        text(axes, 0.4 + columns, top + 0.48, names[i], ha="left", size=8.5)
    return figure


@torch.no_grad()
def figures(model: ProtoVAE, inputs: FigureInputs) -> dict[str, PaperFigure]:
    """Draw all figures of the paper for a trained model, by title.

    Args:
        model: trained.
        inputs: test images, and snapshots; distances are shown for the first image.
    """
    model.eval()
    classes, vectors = model.spec.classes, model.prototypes.vectors
    owners = model.prototypes.owners.int().argmax(dim=1).cpu().numpy()
    decoded = pixels(torch.cat([model.decode(part) for part in torch.split(vectors, 256)]))
    by_title = {
        "Prototypes, decoded": PaperFigure(
            class_grid(decoded, owners, classes),
            "The decoded prototypes of each class; these are not training images.",
        )
    }
    if len(inputs.images):
        by_title |= _of_images(model, inputs.images.to(model.device), decoded, owners)
    # A file of another model may have fewer prototypes.
    stored = [(epoch, arrays["prototypes"]) for epoch, arrays in inputs.snapshots]
    stored = [(epoch, images) for epoch, images in stored if len(images) == len(owners)]
    if stored:
        first = np.unique(owners, return_index=True)[1]  # one prototype per class
        by_title["Prototypes through training"] = PaperFigure(
            through_training([(epoch, images[first]) for epoch, images in stored]),
            "The first prototype of each class, decoded after different numbers of epochs.",
        )
    return by_title


def _of_images(
    model: ProtoVAE, images: Tensor, decoded: np.ndarray, owners: np.ndarray
) -> dict[str, PaperFigure]:
    """Draw reconstructions, distances, and the paths from images to their nearest prototypes."""
    classes = model.spec.classes
    output = model(images)
    mu, vectors = output.extras["mu"], model.prototypes.vectors
    distances = model.prototypes.match(output.latents).values
    nearest = distances.argmin(dim=1)
    originals, reconstructed = pixels(images), pixels(model.decode(mu))
    shares = torch.linspace(0, 1, STEPS, device=mu.device)[:, None]
    steps = [
        np.concatenate(
            [originals[i : i + 1], pixels(model.decode(torch.lerp(mu[i], vectors[nearest[i]], shares)))]
        )
        for i in range(len(images))
    ]
    names = [classes[c] for c in owners]
    table = distance_table(
        originals[0],
        decoded,
        distances[0].cpu().numpy(),
        caption=f"predicted:\n{plain(classes[int(output.scores[0].argmax())], 20)}",
        names=[plain(name, 10) for name in names],
        columns=min(max(len(owners) // max(len(classes), 1), 5), 10),
    )
    return {
        "Images and their reconstructions": PaperFigure(
            reconstructions(originals, reconstructed),
            "Decoded prototypes can be as good as these reconstructions, but not better.",
        ),
        "Distances of an image to the prototypes": PaperFigure(table),
        "From images to their nearest prototypes": PaperFigure(
            paths(steps, [names[j] for j in nearest.tolist()]),
            "Decoded points on the straight line in the latent space from the image's mean to the nearest "
            "prototype; on the right, the prototype's class.",
        ),
    }
