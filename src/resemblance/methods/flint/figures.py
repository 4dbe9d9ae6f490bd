"""The figures of FLINT's paper (Parekh et al. 2021, section 4): which attributes matter to which classes, and what
they are.

Pictures are uint8 arrays (H, W, C), as `data.inputs.pixels` makes them; the sheets are drawn by `flint_sheets`.
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
from resemblance.methods.flint.relevance import FACTORS, concise, local_relevance
from resemblance.methods.flint.sheets import attribute_sheet, conciseness_curve, local_sheet, relevance_matrix
from resemblance.methods.paper_figures import FigureInputs, PaperFigure
from resemblance.training.ends.passes import evaluating

LOOKED_THROUGH = 1000  # images among which the most activating ones are sought; the authors look at 1020
LARGE = 64  # pixels a side


class Pair(NamedTuple):
    """A class and an attribute that is relevant to it."""

    cls: int
    attribute: int
    relevance: float


class Seen(NamedTuple):
    """What a model found in some images: indices into the source, labels, attributes, contributions to the answer."""

    indices: NDArray[np.int64]
    labels: Tensor
    attributes: Tensor
    contributions: Tensor


def light(model: FLINT) -> bool:
    """Whether an answer takes a processor about a millisecond: then reports look at more."""
    return isinstance(model.predictor, MnistPredictor) and max(model.spec.image.size) <= LARGE


def relevant_pairs(relevance: Tensor, threshold: float, limit: int) -> list[Pair]:
    """Pairs of class and attribute above the threshold from (C, J); at most ``limit``, classes taking turns.

    Example:
        >>> relevance = torch.tensor([[0.9, 0.3, 0.0], [0.0, 0.2, 0.8]])
        >>> [tuple(pair) for pair in relevant_pairs(relevance, threshold=0.1, limit=3)]
        [(0, 0, 0.9), (0, 1, 0.3), (1, 2, 0.8)]
    """
    order = relevance.argsort(dim=1, descending=True)
    ranked = [
        (place, Pair(c, int(j), round(float(relevance[c, j]), 6)))
        for c in range(len(relevance))
        for place, j in enumerate(order[c].tolist())
        if relevance[c, j] > threshold
    ]
    ranked.sort(key=lambda found: found[0])
    return sorted((pair for _, pair in ranked[:limit]), key=lambda pair: (pair.cls, -pair.relevance))


def most_activating(seen: Seen, pair: Pair, count: int = 3) -> list[int]:
    """Indices of the images of the pair's class in which its attribute is strongest ("MAS"), the strongest first."""
    own = (seen.labels == pair.cls).nonzero().flatten()
    order = seen.attributes[own, pair.attribute].argsort(descending=True, stable=True)[:count]
    return [int(index) for index in seen.indices[own[order].cpu().numpy()]]


def look(model: FLINT, source: Source) -> Seen:
    """Answer some images of a source, evenly spread over it."""
    few = LOOKED_THROUGH if light(model) else LOOKED_THROUGH // 5
    indices = np.unique(np.linspace(0, len(source) - 1, min(few, len(source))).round().astype(np.int64))
    labels, attributes, contributions = [], [], []
    with evaluating(model):
        for batch in loader(ImageDataset(Subset(source, indices), model.spec.image), 64):
            output = model(batch.images.to(model.device))
            evidence = model.evidence(output, output.scores.argmax(dim=1))
            assert output.similarities is not None
            labels.append(batch.labels)
            attributes.append(output.similarities.cpu())
            contributions.append(evidence.contributions.cpu())
    return Seen(indices, torch.cat(labels), torch.cat(attributes), torch.cat(contributions))


def strengthen(
    model: FLINT,
    images: Tensor,
    attributes: Sequence[int],
    ascent: Ascent | None = None,
    *,
    progress: bool = False,
) -> Tensor:
    """Activation maximisation with partial initialisation: what of an image an attribute wants (section 4).

    Args:
        model: trained.
        images: (N, C, H, W) in [0, 1], one an attribute.
        attributes: N of them.
        ascent: how; by default the authors' constants, with all their 600 steps.
        progress: whether to show a bar.

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
    """The authors' constants for what the model reads: images in [0, 1], or standardised ones."""
    return COLOUR if model.standardised else GREY


def figures(
    model: FLINT, material: FigureInputs, ascent: Ascent | None = None, pairs: int | None = None
) -> dict[str, PaperFigure]:
    """All figures of the paper for a trained model, by what they show.

    Args:
        model: trained.
        material: images to explain, and a source in which attributes are sought.
        ascent: how pictures are maximised; by default in seconds, by few of the authors' steps.
        pairs: class-attribute pairs shown at most; by default fewer where the predictor is slow.
    """
    full, slow = constants(model), not light(model)
    pairs = pairs or (6 if slow else 16)
    ascent = ascent or (full.quick(5) if slow else full.quick())
    taken, whole = ascent.rounds * ascent.steps, full.rounds * full.steps
    steps = f"{taken} steps" + (f" of the paper's {whole}" if taken < whole else "")
    threshold = model.setting.threshold
    relevance, classes = model.relevance.cpu(), model.spec.classes
    found = {
        "Relevance of attributes to classes": PaperFigure(
            relevance_matrix(relevance, classes, threshold),
            "Mean over the training images predicted as the class: contribution of the attribute as a share of the "
            f"largest. Above {threshold:g} the attribute belongs to the class.",
        )
    }
    seen = look(model, material.source)
    chosen = [
        pair for pair in relevant_pairs(relevance, threshold, pairs) if bool((seen.labels == pair.cls).any())
    ]
    if chosen:
        found["What the attributes are"] = _attributes(model, material.source, seen, chosen, ascent, steps)
    if len(material.images):
        found["Local explanations"] = _local(model, material, ascent, steps, 2 if slow else 4)
    counts = concise(seen.contributions, FACTORS).float().mean(dim=0).tolist()
    found["Conciseness"] = PaperFigure(
        conciseness_curve(counts),
        f"Mean over {len(seen.indices)} images of how many attributes exceed 1/τ of the largest contribution.",
    )
    return found


def _attributes(
    model: FLINT, source: Source, seen: Seen, pairs: list[Pair], ascent: Ascent, steps: str
) -> PaperFigure:
    data = ImageDataset(source, model.spec.image)
    strongest = [most_activating(seen, pair) for pair in pairs]
    images = [data.__getitems__(indices).images for indices in strongest]
    starts = torch.cat([several[:1] for several in images])
    maximised = pixels(strengthen(model, starts, [pair.attribute for pair in pairs], ascent))
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
        f"The class images of {len(seen.indices)} in which an attribute is strongest, and the first of them changed "
        f"to strengthen it, from {ascent.start:g} of its brightness on ({steps}): what the attribute wants.",
    )


def _local(
    model: FLINT, material: FigureInputs, ascent: Ascent, steps: str, images: int, count: int = 3
) -> PaperFigure:
    given = material.images[:images].to(model.device)
    with evaluating(model):
        output = model(given)
        predicted = output.scores.argmax(dim=1)
        relevance = local_relevance(model.evidence(output, predicted).contributions)
    top = relevance.topk(min(count, relevance.shape[1]), dim=1)
    # An attribute that is zero contributes nothing, and where Φ is flat nothing strengthens it.
    rows, columns = (top.values > 0).nonzero(as_tuple=True)
    attributes = top.indices[rows, columns].tolist()
    maximised = pixels(strengthen(model, given[rows], attributes, ascent))
    reasons: list[list[tuple[int, float, Pixels]]] = [[] for _ in given]
    for row, attribute, value, picture in zip(
        rows.tolist(), attributes, top.values[rows, columns].tolist(), maximised, strict=True
    ):
        reasons[row].append((attribute, value, picture))
    titles = [f"taken for {model.spec.classes[c]}" for c in predicted.tolist()]
    return PaperFigure(
        local_sheet(list(zip(titles, pixels(given), reasons, strict=True)), count=count),
        "The most relevant attributes of an image, as shares of the largest contribution, and the image changed to "
        f"strengthen each ({steps}).",
    )
