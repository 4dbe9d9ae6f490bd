"""The figures of SENN's paper: examples of concepts, their contributions to classes, stability of relevances."""

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
    """Return the training images (n, C, H, W) with the largest values of each concept, largest first.

    Args:
        model: trained.
        train: the training images.
        limit: the most concepts to return images of.

    Returns:
        Images by concept; empty if ``train`` is not the images that the model was trained on.
    """
    examples = model.prototypes.get_buffer("examples")[:limit].cpu()
    needed = sorted(set(examples[examples >= 0].tolist()))
    if not needed or needed[-1] >= len(train):
        return {}
    data = ImageDataset(train, model.spec.image)
    parts = [data.__getitems__(needed[start : start + 128]).images for start in range(0, len(needed), 128)]
    images = torch.cat(parts)
    h = torch.cat([model.embed(model.latents(part.to(model.device))).cpu() for part in parts])
    strengths, sources = h.amax(dim=0), model.prototypes.source_index.cpu()
    by_concept = {}
    for concept, row in enumerate(examples.tolist()):
        rows = [needed.index(index) for index in row if index >= 0]
        # Check that these are the same images: others would hardly have values in this order, with the source first.
        values = h[rows, concept]
        slack = 1e-3 * float(values.abs().max()) + 1e-6
        if row[0] != sources[concept] or bool((values.diff() > slack).any()):
            return {}
        if float(strengths[concept] - values[0]) > slack:
            return {}
        by_concept[concept] = images[rows]
    return by_concept


def figures(model: SENN, inputs: FigureInputs) -> dict[str, PaperFigure]:
    """Draw all figures of a trained model, by title.

    Args:
        model: trained.
        inputs: images to reconstruct and to add noise to, and the training images, if available.
    """
    model.eval()
    means = model.mean_contributions.cpu().numpy()
    concepts, classes = model.config.concepts, model.spec.classes
    by_title: dict[str, PaperFigure] = {}
    examples = {} if inputs.train is None else top_images(model, inputs.train)
    if examples:
        names = [_best_class(means[:, concept], classes) for concept in range(concepts)]
        shown = {concept: pixels(images) for concept, images in examples.items()}
        by_title["Concepts"] = PaperFigure(concept_grid(shown, concepts, names))
    if np.isfinite(means).any():
        by_title["What concepts do for classes"] = PaperFigure(contribution_matrix(means, classes))
    if len(inputs.images):
        images = inputs.images.to(model.device)
        with torch.no_grad():
            reconstructed = model.reconstruct(images)
        caption = ""
        if not model.decoder_is_trained:
            caption = (
                "The decoder is not trained: as in the authors' code, the gradient penalty replaces the "
                "reconstruction error."
            )
        by_title["Images and their reconstructions"] = PaperFigure(
            reconstructions(pixels(images), pixels(reconstructed)), caption
        )
        stability = local_stability(model, images)
        medians = (float(part.median()) for part in (stability.by_concepts, stability.by_pixels))
        by_title["Stability of the relevances"] = PaperFigure(
            stability_figure(stability, images, classes),
            "Local Lipschitz estimates: the largest ratio over 50 random images whose pixels differ by at most 0.1. "
            "Median over {} images: {:.3g} with respect to the concepts, {:.3g} with respect to the pixels.".format(
                len(images), *medians
            ),
        )
    return by_title


def _best_class(means: Floats, classes: Sequence[str]) -> str:
    """Describe in a few words the class that a concept adds most to."""
    if not np.isfinite(means).any():
        return ""
    best = int(np.nanargmax(means))
    if means[best] <= 0:
        return "adds to no class"
    return f"most for {plain(classes[best], 12)}: {means[best]:+.2g}"
