"""The figures of SENN's paper: what concepts stand for, what they do for classes, how steady relevances are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from resemblance.data.dataset import ImageDataset
from resemblance.data.inputs import pixels
from resemblance.data.sources.source import Source
from resemblance.drawing.decoded import reconstructions
from resemblance.drawing.matrix import Floats
from resemblance.drawing.style import plain
from resemblance.methods.paper_figures import FigureInputs, PaperFigure
from resemblance.methods.senn.model import SENN
from resemblance.methods.senn.sheets import LARGEST, concept_grid, contribution_matrix, stability_figure
from resemblance.methods.senn.stability import local_stability


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
    examples = model.prototypes.get_buffer("examples")[:limit].cpu()
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


def figures(model: SENN, material: FigureInputs) -> dict[str, PaperFigure]:
    """All figures of a trained model, by what they show.

    Args:
        model: trained.
        material: images to reconstruct and to shake, and the training images, if they are at hand.
    """
    model.eval()
    means = model.mean_contributions.cpu().numpy()
    concepts, classes = model.config.concepts, model.spec.classes
    found: dict[str, PaperFigure] = {}
    examples = {} if material.train is None else top_images(model, material.train)
    if examples:
        names = [_speaks_for(means[:, concept], classes) for concept in range(concepts)]
        shown = {concept: pixels(images) for concept, images in examples.items()}
        found["Concepts"] = PaperFigure(concept_grid(shown, concepts, names))
    if np.isfinite(means).any():
        found["What concepts do for classes"] = PaperFigure(contribution_matrix(means, classes))
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
        found["Images and their reconstructions"] = PaperFigure(
            reconstructions(pixels(images), pixels(back)), caption
        )
        steady = local_stability(model, images)
        medians = (float(part.median()) for part in (steady.by_concepts, steady.by_pixels))
        found["Stability of the relevances"] = PaperFigure(
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
