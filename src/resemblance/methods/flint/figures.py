"""The figures of FLINT's paper (Parekh et al. 2021, section 4): which attributes matter to which classes, and what
they are.

Pictures are uint8 arrays (H, W, C), as `data.inputs.pixels` returns them; `methods.flint.sheets` draws the sheets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resemblance.data.dataset import ImageDataset
from resemblance.data.images import Pixels
from resemblance.data.inputs import pixels
from resemblance.data.loader import loader
from resemblance.data.sources.source import Source, Subset
from resemblance.methods.flint.maximisation import COLOUR, GREY, Ascent, maximise
from resemblance.methods.flint.model import FLINT
from resemblance.methods.flint.networks import MnistPredictor
from resemblance.methods.flint.relevance import FACTORS, count_relevant, local_relevance
from resemblance.methods.flint.sheets import attribute_sheet, conciseness_curve, local_sheet, relevance_matrix
from resemblance.methods.paper_figures import FigureInputs, PaperFigure
from resemblance.training.ends.passes import evaluating

SEARCHED = 1000  # images among which the most activating ones are selected; the authors use 1020
LARGE = 64  # side of an image, in pixels


class Pair(NamedTuple):
    """A class and an attribute that is relevant to it."""

    cls: int
    attribute: int
    relevance: float


class ImageAttributes(NamedTuple):
    """Some images: indices in the source, labels, attributes, and contributions to the score of the predicted class."""

    indices: NDArray[np.int64]
    labels: Tensor
    attributes: Tensor
    contributions: Tensor


def is_fast(model: FLINT) -> bool:
    """Check whether the model needs about a millisecond per image on a CPU: then reports use more images."""
    return isinstance(model.predictor, MnistPredictor) and max(model.spec.image.size) <= LARGE


def relevant_pairs(relevance: Tensor, threshold: float, limit: int) -> list[Pair]:
    """Select pairs of class and attribute with a relevance (C, J) above the threshold.

    At most ``limit`` pairs are selected: the best attribute of each class first, then the second of each class, etc.

    Example:
        >>> relevance = torch.tensor([[0.9, 0.3, 0.0], [0.0, 0.2, 0.8]])
        >>> [tuple(pair) for pair in relevant_pairs(relevance, threshold=0.1, limit=3)]
        [(0, 0, 0.9), (0, 1, 0.3), (1, 2, 0.8)]
    """
    order = relevance.argsort(dim=1, descending=True)
    ranked = [
        (rank, Pair(c, int(j), round(float(relevance[c, j]), 6)))
        for c in range(len(relevance))
        for rank, j in enumerate(order[c].tolist())
        if relevance[c, j] > threshold
    ]
    ranked.sort(key=lambda entry: entry[0])
    return sorted((pair for _, pair in ranked[:limit]), key=lambda pair: (pair.cls, -pair.relevance))


def most_activating(searched: ImageAttributes, pair: Pair, count: int = 3) -> list[int]:
    """Return the images of the pair's class with the largest activations of its attribute ("MAS")."""
    own = (searched.labels == pair.cls).nonzero().flatten()
    order = searched.attributes[own, pair.attribute].argsort(descending=True, stable=True)[:count]
    return [int(index) for index in searched.indices[own[order].cpu().numpy()]]


def image_attributes(model: FLINT, source: Source) -> ImageAttributes:
    """Compute the attributes of some images of a source, evenly spread over it."""
    limit = SEARCHED if is_fast(model) else SEARCHED // 5
    indices = np.unique(np.linspace(0, len(source) - 1, min(limit, len(source))).round().astype(np.int64))
    labels, attributes, contributions = [], [], []
    with evaluating(model):
        for batch in loader(ImageDataset(Subset(source, indices), model.spec.image), 64):
            output = model(batch.images.to(model.device))
            evidence = model.evidence(output, output.scores.argmax(dim=1))
            assert output.similarities is not None
            labels.append(batch.labels)
            attributes.append(output.similarities.cpu())
            contributions.append(evidence.contributions.cpu())
    return ImageAttributes(indices, torch.cat(labels), torch.cat(attributes), torch.cat(contributions))


def maximise_attributes(
    model: FLINT,
    images: Tensor,
    attributes: Sequence[int],
    ascent: Ascent | None = None,
    *,
    progress: bool = False,
) -> Tensor:
    """Change images to increase an attribute: activation maximisation with partial initialisation (section 4).

    Args:
        model: trained.
        images: (N, C, H, W) in [0, 1], one per attribute.
        attributes: the N attributes to increase.
        ascent: the optimisation; by default with the authors' constants and all their 600 steps.
        progress: whether to show a progress bar.

    Returns:
        Images (N, C, H, W) in [0, 1].
    """
    ascent = ascent or constants(model)
    with evaluating(model):
        changed = maximise(
            model.phi, model.inputs(images.to(model.device)), attributes, ascent, progress=progress
        )
        return model.as_images(changed)


def constants(model: FLINT) -> Ascent:
    """Return the authors' constants for the inputs of the model: images in [0, 1], or standardised ones."""
    return COLOUR if model.standardised else GREY


def figures(
    model: FLINT, inputs: FigureInputs, ascent: Ascent | None = None, pairs: int | None = None
) -> dict[str, PaperFigure]:
    """Draw all figures of the paper for a trained model, by title.

    Args:
        model: trained.
        inputs: images to explain, and a source of images that show the attributes.
        ascent: the activation maximisation; by default only some of the authors' steps, which takes seconds.
        pairs: the most class-attribute pairs to show; by default fewer if the predictor is slow.
    """
    full, slow = constants(model), not is_fast(model)
    pairs = pairs or (6 if slow else 16)
    ascent = ascent or (full.quick(5) if slow else full.quick())
    count, paper_count = ascent.rounds * ascent.steps, full.rounds * full.steps
    steps = f"{count} steps" + (f" of the paper's {paper_count}" if count < paper_count else "")
    threshold = model.setting.threshold
    relevance, classes = model.relevance.cpu(), model.spec.classes
    by_title = {
        "Relevance of attributes to classes": PaperFigure(
            relevance_matrix(relevance, classes, threshold),
            "Mean over the training images predicted as the class: the contribution of the attribute as a share of the "
            f"largest contribution. Above {threshold:g}, the attribute belongs to the class.",
        )
    }
    searched = image_attributes(model, inputs.source)
    chosen = [
        pair
        for pair in relevant_pairs(relevance, threshold, pairs)
        if bool((searched.labels == pair.cls).any())
    ]
    if chosen:
        by_title["What the attributes are"] = _attributes(
            model, inputs.source, searched, chosen, ascent, steps
        )
    if len(inputs.images):
        by_title["Local explanations"] = _local(model, inputs, ascent, steps, 2 if slow else 4)
    counts = count_relevant(searched.contributions, FACTORS).float().mean(dim=0).tolist()
    by_title["Conciseness"] = PaperFigure(
        conciseness_curve(counts),
        f"Number of attributes that exceed 1/τ of the largest contribution, mean over {len(searched.indices)} images.",
    )
    return by_title


def _attributes(
    model: FLINT, source: Source, searched: ImageAttributes, pairs: list[Pair], ascent: Ascent, steps: str
) -> PaperFigure:
    data = ImageDataset(source, model.spec.image)
    strongest = [most_activating(searched, pair) for pair in pairs]
    images = [data.__getitems__(indices).images for indices in strongest]
    starts = torch.cat([several[:1] for several in images])
    maximised = pixels(maximise_attributes(model, starts, [pair.attribute for pair in pairs], ascent))
    rows = [
        (
            f"{model.spec.classes[pair.cls]}\nattribute {pair.attribute}",
            pair.relevance,
            pixels(several),
            picture,
        )
        for pair, several, picture in zip(pairs, images, maximised, strict=True)
    ]
    total = int((model.relevance > model.setting.threshold).sum())
    note = f"{total - len(pairs)} more pairs of class and attribute" if total > len(pairs) else ""
    return PaperFigure(
        attribute_sheet(rows, note),
        f"The images of the class, among {len(searched.indices)}, with the largest activations of an attribute, and "
        f"the first of them, changed from {ascent.start:g} of its brightness to increase the activation ({steps}).",
    )


def _local(
    model: FLINT, inputs: FigureInputs, ascent: Ascent, steps: str, images: int, count: int = 3
) -> PaperFigure:
    explained = inputs.images[:images].to(model.device)
    with evaluating(model):
        output = model(explained)
        predicted = output.scores.argmax(dim=1)
        relevance = local_relevance(model.evidence(output, predicted).contributions)
    top = relevance.topk(min(count, relevance.shape[1]), dim=1)
    # An attribute that is zero contributes nothing, and where Φ is constant it cannot be increased.
    rows, columns = (top.values > 0).nonzero(as_tuple=True)
    attributes = top.indices[rows, columns].tolist()
    maximised = pixels(maximise_attributes(model, explained[rows], attributes, ascent))
    reasons: list[list[tuple[int, float, Pixels]]] = [[] for _ in explained]
    for row, attribute, value, picture in zip(
        rows.tolist(), attributes, top.values[rows, columns].tolist(), maximised, strict=True
    ):
        reasons[row].append((attribute, value, picture))
    titles = [f"predicted: {model.spec.classes[c]}" for c in predicted.tolist()]
    return PaperFigure(
        local_sheet(list(zip(titles, pixels(explained), reasons, strict=True)), count=count),
        "The most relevant attributes of an image, as shares of the largest contribution, and the image changed to "
        f"increase each of them ({steps}).",
    )
