"""The similarity on which a prediction rests, by which images that resemble nothing known can be noticed."""

from __future__ import annotations

import torch
from torch import Tensor

from resemblance.core.classifier import Classifier
from resemblance.core.output import Output
from resemblance.core.prototype_model import PrototypeModel


def has_deciding_similarity(model: Classifier, output: Output) -> bool:
    """Check whether predictions of a model rest on one similarity; ``output`` is its output for any images.

    They do not for models without prototypes, and where all attributes or concepts of an image count.
    """
    if not isinstance(model, PrototypeModel):
        return False
    if model.abstains(output) is not None:
        return True
    return model.traits.words.rivals and bool(model.prototypes.owners.any())


def deciding_similarity(model: Classifier, output: Output) -> tuple[Tensor, Tensor] | None:
    """Return the similarity on which each prediction rests, and its prototype, both (B,).

    Returns:
        None for models that have none, see `has_deciding_similarity`; otherwise those of `largest_similarity`.
    """
    if not isinstance(model, PrototypeModel) or not has_deciding_similarity(model, output):
        return None
    return largest_similarity(model, output)


def largest_similarity(model: PrototypeModel, output: Output) -> tuple[Tensor, Tensor]:
    """Return the similarity on which each prediction rests, and its prototype, both (B,), of a model that has one.

    It is the largest similarity to a prototype of the predicted class; in a tree of prototypes, the presence at the
    last node of the best path; of a model that abstains where it finds nothing, the largest of all. It is −inf for a
    predicted class without prototypes.
    """
    similarities = output.similarities.float()
    if model.abstains(output) is not None:
        return similarities.amax(dim=1), similarities.argmax(dim=1)
    classes = output.scores.argmax(dim=1)
    evidence = model.evidence(output, classes)
    if evidence.paths is not None:
        last = evidence.prototypes[evidence.contributions.argmax(dim=1)]
        return similarities.gather(1, last[:, None])[:, 0], last
    own = similarities.masked_fill(~model.prototypes.owners.T[classes], -torch.inf)
    return own.amax(dim=1), own.argmax(dim=1)
